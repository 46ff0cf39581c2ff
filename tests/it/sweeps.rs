//! Sweeps, and the files of them for schedulers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::cli::{Place, report};

const SWEEP: &str = "out = \"sweep\"\nseed = 5\n[data]\nfiles = [\"embedded:hearth\"]\nlimit = 80\n\
                     [constitutions]\nfiles = [\"embedded:hearth\"]\nonly = [\"kind\", \"mean\", \"placebo-blue\"]\n\
                     [sweep]\nmodels = [\"embedded:hearth-xs\"]\ndtype = [\"f32\", \"bf16\"]\n";

fn place() -> Place {
    let place = Place::new();
    place.write("sizes.toml", SWEEP);
    place
}

fn does(place: &Place, args: &[&str]) -> String {
    let (ok, out, err) = place.vstar(args);
    assert!(ok, "{args:?}: {out}\n{err}");
    out
}

#[test]
fn the_cells_of_a_sweep_are_experiments_and_are_compared() {
    let place = place();
    let out = does(&place, &["sweep", "sizes.toml", "--dry-run"]);
    assert!(out.contains("cell hearth-xs-f32") && out.contains("the sweep: "), "{out}");
    assert!(!place.path("sweep").exists());
    let out = does(&place, &["sweep", "sizes.toml", "--cell", "2"]);
    assert!(out.contains("hearth-xs-bf16") && !place.path("sweep/compare.json").exists(), "{out}");
    let json: Value = serde_json::from_str(&does(&place, &["sweep", "sizes.toml", "--json"])).expect("JSON");
    let states: Vec<&str> =
        json["cells"].as_array().expect("cells").iter().filter_map(|c| c["state"].as_str()).collect();
    assert_eq!(states, ["computed", "there"]);
    let compared: Value =
        serde_json::from_str(&fs::read_to_string(place.path("sweep/compare.json")).expect("a file"))
            .expect("JSON");
    assert_eq!(compared["format"], "vstar-compare/1");
    // A cell is the experiment that `vstar run` would run.
    let alone = SWEEP.replace("out = \"sweep\"", "out = \"alone\"\n[model]\nembedded = \"hearth-xs\"");
    let alone = alone.replace("\nseed = 5", "").split("[sweep]").next().expect("a part").to_owned();
    place.write("alone.toml", &alone);
    does(&place, &["run", "alone.toml", "--seed", "5"]);
    let (a, b) =
        (report(&place.path("alone/report.json")), report(&place.path("sweep/hearth-xs-f32/report.json")));
    assert_eq!(a["estimates"], b["estimates"]);
    let err = place.refused(&["run", "sizes.toml"]);
    assert!(err.contains("sizes.toml:9 [sweep]") && err.contains("`vstar sweep`"), "{err}");
    let err = place.refused(&["sweep", "sizes.toml", "--cell", "3"]);
    assert!(err.contains("hearth-xs-bf16"), "{err}");
    // A changed seed is another report; nothing else is computed again.
    place.write("sizes.toml", &SWEEP.replace("seed = 5", "seed = 6"));
    let json: Value = serde_json::from_str(&does(&place, &["sweep", "sizes.toml", "--json"])).expect("JSON");
    assert_eq!(json["cells"][0]["state"], "computed");
}

/// A scheduler that runs what is submitted at once: each task of an array in turn, with its number.
const SBATCH: &str = r#"#!/bin/bash
set -euo pipefail
script="${!#}"
array=$(sed -n 's/^#SBATCH --array=//p' "$script")
number=$(( $(cat "$HERE/jobs" 2> /dev/null || echo 0) + 1 ))
echo $number > "$HERE/jobs"
echo "$*" >> "$HERE/submitted"
bash -n "$script"
if [ -n "$array" ]; then
  for id in $(echo "$array" | tr , '\n' | sed 's/\([0-9]*\)-\([0-9]*\)/seq \1 \2/; t; s/^/echo /' | bash); do
    SLURM_ARRAY_TASK_ID=$id SLURM_CPUS_PER_TASK=1 bash "$script" >> "$HERE/log" 2>&1
  done
else
  bash "$script" >> "$HERE/log" 2>&1
fi
echo "$number;cluster"
"#;

#[test]
fn the_scripts_for_slurm_do_the_whole_sweep() {
    let (place, bin) = (place(), Place::new());
    let sbatch = bin.write("sbatch", SBATCH);
    fs::set_permissions(&sbatch, fs::Permissions::from_mode(0o755)).expect("permissions");
    let out = does(
        &place,
        &["slurm", "sizes.toml", "--partition", "long", "--gpus", "1", "--sbatch=--account=lab"],
    );
    assert!(out.contains("would submit, with --submit") && out.contains("afterany"), "{out}");
    // From the estimates of this machine: seconds of work ask for the least.
    let script = fs::read_to_string(place.path("sweep/jobs/hearth-xs-f32.parts.sbatch")).expect("a script");
    for line in [
        "#SBATCH --array=1-1",
        "#SBATCH --partition=long",
        "#SBATCH --gpus=1",
        "#SBATCH --signal=B:TERM@60",
        "#SBATCH --requeue",
        "#SBATCH --account=lab",
        "#SBATCH --time=00:",
        "#SBATCH --mem=1",
        "exec ",
    ] {
        assert!(script.lines().any(|l| l.starts_with(line)), "{line}: {script}");
    }
    for file in ["hearth-xs-f32.parts.sbatch", "hearth-xs-bf16.merge.sbatch", "compare.sbatch", "submit.sh"] {
        let path = place.path(&format!("sweep/jobs/{file}"));
        assert!(Command::new("bash").arg("-n").arg(path).status().expect("bash").success(), "{file}");
    }
    // Submitted for real, to the scheduler above; one part of the first cell is there already.
    does(&place, &["run", "sweep/jobs/hearth-xs-f32.toml", "--out", "sweep/hearth-xs-f32", "--shard", "2/3"]);
    let path = format!("{}:{}", bin.path("").display(), std::env::var("PATH").expect("a PATH"));
    let output = Command::new(env!("CARGO_BIN_EXE_vstar"))
        .args(["slurm", "sizes.toml", "--shards", "3", "--time", "00:10:00", "--mem", "2G", "--submit"])
        .current_dir(place.path(""))
        .env("PATH", path)
        .env("HERE", bin.path(""))
        .output()
        .expect("it runs");
    let log = fs::read_to_string(bin.path("log")).unwrap_or_default();
    assert!(output.status.success(), "{}\n{log}", String::from_utf8_lossy(&output.stderr));
    let script = fs::read_to_string(place.path("sweep/jobs/hearth-xs-f32.parts.sbatch")).expect("a script");
    assert!(script.contains("--array=1,3\n") && script.contains("--mem=2G\n") && !script.contains("--gpus"));
    assert!(!log.contains("part 2/3 of") || log.matches("part 2/3 is done").count() == 1, "{log}");
    let submitted = fs::read_to_string(bin.path("submitted")).expect("a list");
    let submitted: Vec<&str> = submitted.lines().collect();
    assert_eq!(submitted.len(), 5, "{submitted:?}");
    assert!(submitted[1].contains("--dependency=afterany:1 "), "{submitted:?}");
    assert!(submitted[3].contains("--dependency=afterany:3 "), "{submitted:?}");
    assert!(submitted[4].contains("--dependency=afterok:2:4 "), "{submitted:?}");
    assert!(place.path("sweep/compare.html").is_file());
    // As the cells one after the other give it.
    let other = self::place();
    does(&other, &["sweep", "sizes.toml"]);
    for cell in ["hearth-xs-f32", "hearth-xs-bf16"] {
        let name = format!("sweep/{cell}/report.json");
        assert_eq!(report(&place.path(&name))["estimates"], report(&other.path(&name))["estimates"]);
    }
}

#[test]
fn the_manifests_for_kubernetes_hold_an_indexed_job_and_a_merge() {
    let place = place();
    let args = [
        "k8s",
        "sizes.toml",
        "--image",
        "registry/vstar:1",
        "--claim",
        "data",
        "--shards",
        "7",
        "--gpus",
        "1",
    ];
    let out = does(&place, &args);
    assert!(out.contains("kubectl apply -f") && out.contains("vstar compare"), "{out}");
    let job =
        fs::read_to_string(place.path("sweep/jobs/vstar-hearth-xs-bf16-parts.yaml")).expect("a manifest");
    for part in [
        "completionMode: Indexed",
        "completions: 7",
        "backoffLimitPerIndex: 2",
        "restartPolicy: Never",
        "\"--shards\", \"7\"",
        "claimName: \"data\"",
        "nvidia.com/gpu: 1",
        "image: \"registry/vstar:1\"",
    ] {
        assert!(job.contains(part), "{part}: {job}");
    }
    let merge =
        fs::read_to_string(place.path("sweep/jobs/vstar-hearth-xs-bf16-merge.yaml")).expect("a manifest");
    assert!(merge.contains("\"vstar\", \"merge\"") && !merge.contains("Indexed"), "{merge}");
    let err = place.refused(&["k8s", "sizes.toml", "--image", "i", "--claim", "c", "--mount", "/nowhere"]);
    assert!(err.contains("--mount"), "{err}");
}
