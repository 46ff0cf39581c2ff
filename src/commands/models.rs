//! `vstar models`.

use crate::model::config::FAMILIES;
use crate::model::gguf::ARCHITECTURES;

/// Lists the families.
pub fn models() {
    println!("{:<12}  what of its config is computed", "model_type");
    for (_, name, about) in FAMILIES {
        println!("{name:<12}  {about}");
    }
    let architectures: Vec<&str> = ARCHITECTURES.iter().map(|(arch, _)| *arch).collect();
    println!(
        "\nGGUF files of the architectures {}: types F32, F16, BF16, Q4_0, Q4_1,\n\
         Q5_0, Q5_1, Q8_0, Q8_1, Q2_K to Q8_K; llama with a sliding window is computed as mistral.",
        architectures.join(", ")
    );
    println!(
        "\nRefused by name before weights are read: any other model_type, quantised safetensors, encoder-decoders,\n\
         rope scalings other than default, linear, llama3, yarn and longrope, activations other than silu, gelu,\n\
         its tanh approximation and relu, attention other than full and sliding."
    );
}
