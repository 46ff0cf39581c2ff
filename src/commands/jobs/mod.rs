//! Files for schedulers: a sweep's cells in parts, a merge for each, and the comparison. The schedulers do the rest.

mod cost;
mod k8s;
mod names;
mod slurm;

pub use k8s::{K8sArgs, k8s};
pub use slurm::{SlurmArgs, slurm};
