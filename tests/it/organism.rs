//! The known-answer model.
use vstar::organism::{policy, reply::Situation, values};

#[test]
fn tmp_scale() {
    println!("{:?}", values::measure_scale(0, 200_000));
    use rand::SeedableRng;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let all: Vec<_> = Situation::all().collect();
    let mut words = 0;
    let (mut f, mut l) = (vec![], vec![]);
    for i in 0..20000 {
        let s = &all[i * 37 % all.len()];
        let r = policy::reply(s, &mut rng);
        if i < 8 {
            println!("{} | {}", s.text(), r.text());
        }
        words += r.text().split(' ').count();
        let a = r.attributes(s);
        assert!(vstar::organism::oracle::read(&r.text()).reply == r);
        f.push(values::features(&a, s));
        l.push(values::linear_features(&a));
    }
    println!("mean words {}", words as f64 / 20000.0);
    let corr = |x: &dyn Fn(usize) -> f64, y: &dyn Fn(usize) -> f64| {
        let n = f.len() as f64;
        let (mx, my) =
            ((0..f.len()).map(|i| x(i)).sum::<f64>() / n, (0..f.len()).map(|i| y(i)).sum::<f64>() / n);
        let c = |a: &dyn Fn(usize) -> f64, ma: f64, b: &dyn Fn(usize) -> f64, mb: f64| {
            (0..f.len()).map(|i| (a(i) - ma) * (b(i) - mb)).sum::<f64>() / n
        };
        c(x, mx, y, my) / (c(x, mx, x, mx) * c(y, my, y, my)).sqrt()
    };
    for a in 0..6 {
        for b in 0..6 {
            print!("{:6.2}", corr(&|i| f[i][a], &|i| f[i][b]));
        }
        println!();
    }
    for a in 0..3 {
        println!("linear share {:.3}", corr(&|i| f[i][a], &|i| l[i][a]).powi(2));
    }
}
