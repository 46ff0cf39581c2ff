//! Dense linear algebra in f64: symmetric eigen-decomposition, products, Cholesky solves.
