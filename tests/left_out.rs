//! Says at the end of the tests what they left out; it has no test of its own.

#![allow(clippy::print_stdout)]

fn main() {
    println!(
        "\nleft out, because no test uses the network: parity with transformers on a real model. To run it:\n  \
         python scripts/fetch_models.py smollm2-135m-instruct\n  cargo test --release -- --ignored real_models\n"
    );
}
