//! Directions and figures of tiny models.

use super::*;
use crate::device;
use crate::generate::inversion::tests::{dcgan, fastgan, vae};
use crate::generate::sampler::Sampler;
use crate::nn::host;
use burn::tensor::{Tensor, TensorData};

/// Mean squared change of the numbers of a picture along a direction.
fn change(sampler: &Sampler, vector: &[f32]) -> f64 {
    let z: Vec<Vec<f32>> = (0..40).map(|i| sampler.latent(11, i, 1.0)).collect();
    let direction = Direction { vector: vector.to_vec(), weight: 0.0, effect: 0.0 };
    let moved: Vec<Vec<f32>> = z.iter().map(|z| direction.moved(z, 0.3)).collect();
    let classes = vec![0; 40];
    let of = |z: &[Vec<f32>]| {
        host(sampler.model().latent().unwrap().decode(sampler.vectors(z), &sampler.condition(&classes)))
    };
    of(&z).iter().zip(of(&moved)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

#[test]
fn sefa_directions_are_orthonormal_ordered_and_matter_in_their_order() {
    for sampler in [dcgan(0), dcgan(3), fastgan()] {
        let map = sampler.model().latent().unwrap().first_map().unwrap();
        let found = sefa(map.clone(), 6);
        assert_eq!(found.len(), 6, "the label's rows are no directions");
        for (i, (_, a)) in found.iter().enumerate() {
            for (j, (_, b)) in found.iter().enumerate() {
                let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((dot - f32::from(u8::from(i == j))).abs() < 1e-5);
            }
        }
        assert!(found.windows(2).all(|pair| pair[0].0 >= pair[1].0) && found[5].0 > 0.0);
        // An eigenvalue of A Aᵀ is the squared length of what the projection makes of its direction.
        for (eigenvalue, vector) in &found {
            let mut padded = vector.clone();
            // The label's rows take no part.
            padded.resize(map.dims()[0], 0.0);
            let direction = Tensor::<2>::from_data(TensorData::new(padded, [1, map.dims()[0]]), &map.device());
            let stretched = host(direction.matmul(map.clone())).iter().map(|v| v * v).sum::<f32>();
            assert!((stretched - *eigenvalue as f32).abs() < 1e-4 * stretched, "{stretched} {eigenvalue}");
        }
        let (first, last) = (change(&sampler, &found[0].1), change(&sampler, &found[5].1));
        assert!(first > last, "{first} against {last}");

        let directions = directions(&sampler, None).unwrap();
        assert_eq!((directions.order, directions.list.len()), (Order::Eigenvalue, 6));
        assert!(directions.list.iter().zip(&found).all(|(a, b)| (a.weight, &a.vector) == (b.0, &b.1)));
    }
}

/// A projection that stretches one direction only: that one is found, and its eigenvalue is the squared stretch.
#[test]
fn sefa_of_a_known_projection() {
    let (direction, stretch) = ([0.6f32, 0.0, -0.8], [3.0f32, 0.0, 4.0, 0.0]);
    let mut values: Vec<f32> = direction.iter().flat_map(|d| stretch.map(|s| d * s)).collect();
    values.extend([100.0; 4]); // a label's row
    let map = Tensor::<2>::from_data(TensorData::new(values, [4, 4]), &device::cpu());
    let found = sefa(map, 3);
    assert!((found[0].0 - 25.0).abs() < 1e-5 && found[1].0.abs() < 1e-5);
    // The largest entry is positive, which turns it round.
    assert!(found[0].1.iter().zip(direction).all(|(a, b)| (a + b).abs() < 1e-6), "{found:?}");
}

#[test]
fn dimensions_of_a_vae_are_ordered_by_what_they_change() {
    let sampler = vae(3);
    let found = directions(&sampler, None).unwrap();
    assert_eq!((found.order, found.list.len()), (Order::Sensitivity, 6));
    for direction in &found.list {
        assert_eq!(direction.vector.iter().filter(|&&v| v == 1.0).count(), 1);
        assert_eq!(direction.vector.iter().filter(|&&v| v == 0.0).count(), 5);
    }
    assert!(found.list.windows(2).all(|pair| pair[0].weight >= pair[1].weight));
}

#[test]
fn directions_come_back_from_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("directions.safetensors");
    let mut sampler = dcgan(0);
    assert!(Directions::load(&path, &sampler).unwrap_err().hint.unwrap().contains("maliang explain"));
    let found = directions(&sampler, None).unwrap();
    found.save(&path, &sampler.hash).unwrap();
    assert_eq!(Directions::load(&path, &sampler).unwrap(), found);
    sampler.hash = "another".into();
    assert!(Directions::load(&path, &sampler).unwrap_err().message.contains("another model"));
    std::fs::write(&path, "text").unwrap();
    assert!(Directions::load(&path, &sampler).is_err());
}

#[test]
fn each_direction_has_a_grid() {
    let sampler = fastgan();
    let found = directions(&sampler, None).unwrap();
    let figures = direction_figures(&sampler, &found, 3);
    assert_eq!(figures.len(), 6);
    for (k, figure) in figures.iter().enumerate() {
        assert_eq!(figure.name, format!("direction-{k}"));
        assert!(figure.picture.width >= 7 * 64 && figure.picture.height >= 4 * 64);
    }
    assert_ne!(figures[0].picture, figures[1].picture);
}
