//! A real trained model: greedy continuation, and the forest compared with each text alone.

use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device};
use vstar::model::decoder::NoHook;
use vstar::model::{LoadOptions, Model, ModelSource, Packing};
use vstar::units::Layer;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load() -> Model {
    let folder = fixture("models/stories260K");
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None };
    Model::load(&ModelSource::Folder(folder), "stories260K", &options).expect("the fixture loads")
}

#[test]
fn greedy_decoding_tells_the_story_that_llama2_c_expects() {
    let model = load();
    let mut ids = vec![model.encoder.bos().expect("a bos token")];
    let blocks = model.decoder.config().num_blocks();
    for _ in 0..60 {
        let x = model
            .decoder
            .residual_stream(&Packing::single(&ids), Layer(blocks), &mut NoHook)
            .expect("forward");
        let logits = model.decoder.logits(&x.narrow(0, ids.len() - 1, 1).expect("a row")).expect("logits");
        let next = logits.argmax(D::Minus1).expect("argmax").to_vec1::<u32>().expect("ids")[0];
        ids.push(next);
    }
    let text = model.encoder.decode(&ids).expect("text");
    let expected = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. \
                    One day, she saw a big, red ball.";
    assert!(text.trim_start().starts_with(expected), "{text}");
    assert_eq!(model.unused, Vec::<String>::new());
}
