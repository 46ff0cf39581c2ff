//! Reports skipped tests at the end of the test run; contains no tests itself.

#![allow(clippy::print_stdout)]

fn main() {
    println!(
        "\nleft out, because no test uses the network: parity with transformers on a real model. To run it:\n  \
         python scripts/fetch_models.py smollm2-135m-instruct\n  cargo test --release -- --ignored real_models\n"
    );
}
