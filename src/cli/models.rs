//! `vstar models`.

use crate::model::config::FAMILIES;

/// Lists the families.
pub fn models() {
    println!("{:<12}  what of its config is computed", "model_type");
    for (_, name, about) in FAMILIES {
        println!("{name:<12}  {about}");
    }
    println!(
        "\nRefused by name before weights are read: any other model_type, quantised checkpoints, encoder-decoders,\n\
         rope scalings other than default, linear, llama3, yarn and longrope, activations other than silu, gelu,\n\
         its tanh approximation and relu, attention other than full and sliding."
    );
}
