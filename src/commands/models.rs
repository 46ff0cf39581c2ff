//! `vstar models`.

use serde_json::json;

use super::terminal::out::result;
use crate::model::config::FAMILIES;
use crate::model::gguf::ARCHITECTURES;

/// Lists the families.
pub fn models() {
    let families: Vec<_> =
        FAMILIES.iter().map(|(_, name, about)| json!({"model_type": name, "computed": about})).collect();
    let gguf: Vec<_> = ARCHITECTURES.iter().map(|(name, _)| *name).collect();
    result(|| json!({"families": families, "gguf_architectures": gguf}));
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
