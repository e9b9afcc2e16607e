use super::*;
use crate::segment::mix;

fn random(seed: u64, dimension: usize) -> Vec<f32> {
    let number = |place: u64| {
        // The sum of some evenly spread numbers is nearly normal.
        let parts = (0..4).map(|part| mix(seed * 1_000_003 + place * 4 + part) >> 48);
        parts.map(|part| f32::from(u16::try_from(part).unwrap()) / 65536.0 - 0.5).sum::<f32>()
    };
    (0..dimension as u64).map(number).collect()
}

fn vectors(rotation: &Rotation, metric: Metric, all: &[Vec<f32>]) -> Vectors {
    let mut vectors = Vectors::new(rotation.width());
    for vector in all {
        vectors.push(&rotation.apply(vector, factor(metric, vector)));
    }
    vectors.finish();
    vectors
}

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

#[test]
fn the_rank_by_code_is_within_its_margin() {
    for metric in METRICS {
        for dimension in [1, 5, 64, 200] {
            let rotation = Rotation::new(dimension);
            let mut all: Vec<Vec<f32>> = (1..200).map(|seed| random(seed, dimension)).collect();
            all.push(vec![1e-3; dimension]);
            all.push(vec![1e3; dimension]);
            let vectors = vectors(&rotation, metric, &all);
            for seed in 1000..1010 {
                let query = random(seed, dimension);
                let target = Target::new(&rotation, metric, &query);
                vectors.scan(&target, &Bitmap::all(all.len()), |position, rank, margin| {
                    let exact = target.exact(&query, &all[position]);
                    assert!(
                        (rank - exact).abs() <= margin,
                        "{metric:?} {dimension}: {rank} {exact} {margin}"
                    );
                });
            }
        }
    }
}

#[test]
fn signs_choose_most_of_the_nearest() {
    for metric in METRICS {
        let rotation = Rotation::new(128);
        let all: Vec<Vec<f32>> = (1..=5000).map(|seed| random(seed, 128)).collect();
        let vectors = vectors(&rotation, metric, &all);
        let set = Bitmap::all(all.len());
        let (mut found, mut far) = (0, 0);
        for seed in 1..=20 {
            let near: Vec<f32> = random(seed, 128)
                .iter()
                .zip(random(seed + 9000, 128))
                .map(|(one, other)| one + other)
                .collect();
            let target = Target::new(&rotation, metric, &near);
            let mut rough = Vec::new();
            let deviation = vectors.sign_deviation(&target).unwrap();
            vectors.scan_signs(&target, &set, |position, rank| {
                let exact = target.exact(&near, &all[position]);
                far += usize::from((rank - exact).abs() > 2.5 * deviation);
                rough.push((rank, position));
            });
            rough.sort_by(|one, other| other.0.total_cmp(&one.0));
            let mut exact: Vec<(f32, usize)> = all
                .iter()
                .enumerate()
                .map(|(position, vector)| (target.exact(&near, vector), position))
                .collect();
            exact.sort_by(|one, other| other.0.total_cmp(&one.0));
            found += exact[..10]
                .iter()
                .filter(|(_, wanted)| rough[..500].iter().any(|(_, position)| position == wanted))
                .count();
        }
        assert!(found >= 190, "{metric:?}: {found} of 200");
        // Of 20 times 5000.
        assert!(far < 1500, "{metric:?}: {far}");
    }
}

#[test]
fn merged_and_read_vectors_are_the_same() {
    let rotation = Rotation::new(70);
    let all: Vec<Vec<f32>> = (1..=5000).map(|seed| random(seed, 70)).collect();
    let whole = vectors(&rotation, Metric::Dot, &all);
    let halves = [
        vectors(&rotation, Metric::Dot, &all[..2000]),
        vectors(&rotation, Metric::Dot, &all[2000..]),
    ];
    let places: Vec<Option<u32>> = (0..5000).map(Some).collect();
    let parts = [(&halves[0], &places[..2000]), (&halves[1], &places[2000..])];
    assert_eq!(Vectors::merge(&parts, rotation.width()), whole);
    let mut sink = Sink::default();
    whole.write(&mut sink);
    assert_eq!(Vectors::read(&mut Source(&sink.0), 5000, rotation.width()), Some(whole));
    assert_eq!(Vectors::read(&mut Source(&sink.0), 4999, rotation.width()), None);
}
