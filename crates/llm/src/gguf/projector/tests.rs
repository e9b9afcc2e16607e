//! Files that would end the process, and those that would not.

use super::*;
use crate::gguf::{Tensor, Value, tiny};
use tiny::ProjectorKind::{self, Gemma3, Idefics3, Mlp};

fn read(
    kind: ProjectorKind,
    change: impl FnOnce(&mut Vec<(&'static str, Value)>, &mut Vec<Tensor>),
) -> Result<Projector> {
    let file = tempfile::NamedTempFile::new().unwrap();
    tiny::projector(file.path(), kind, 48, change).unwrap();
    Projector::read(file.path())
}

fn refused(
    kind: ProjectorKind,
    change: impl FnOnce(&mut Vec<(&'static str, Value)>, &mut Vec<Tensor>),
) -> String {
    read(kind, change).unwrap_err().to_string()
}

#[test]
fn projectors_of_all_kinds_tell_their_width_and_memory() {
    for kind in [Mlp, Idefics3, Gemma3] {
        let projector = read(kind, |_, _| {}).unwrap();
        assert_eq!(projector.width, 48, "{kind:?}");
        assert!((100_000..1_000_000).contains(&projector.memory), "{projector:?}");
    }
}

#[test]
fn older_files_with_two_names_the_wrong_way_round_are_read() {
    let swapped = read(Mlp, |_, tensors| {
        for tensor in tensors {
            let name = tensor.name.replace("ffn_up", "ffn_x").replace("ffn_down", "ffn_up");
            tensor.name = name.replace("ffn_x", "ffn_down");
        }
    });
    assert_eq!(swapped.unwrap().width, 48);
}

#[test]
fn every_array_of_another_size_is_refused_by_name() {
    for kind in [Mlp, Idefics3, Gemma3] {
        let mut names = Vec::new();
        read(kind, |_, tensors| names.extend(tensors.iter().map(|tensor| tensor.name.clone())))
            .unwrap();
        for (index, name) in names.iter().enumerate() {
            let why = refused(kind, |_, tensors| {
                let tensor = &mut tensors[index];
                // The first size of this one is that of the language model.
                let free = tensor.name == "mm.input_projection.weight";
                let at = if free { 0 } else { tensor.shape.len() - 1 };
                tensor.shape[at] += 1;
                tensor
                    .data
                    .resize(usize::try_from(tensor.shape.iter().product::<u64>()).unwrap(), 0.5);
            });
            assert!(why.contains("is not a usable projector: "), "{kind:?} {name}: {why}");
        }
    }
}

#[test]
fn every_missing_array_that_the_engine_needs_is_named() {
    for kind in [Mlp, Idefics3, Gemma3] {
        let mut names = Vec::new();
        read(kind, |_, tensors| names.extend(tensors.iter().map(|tensor| tensor.name.clone())))
            .unwrap();
        for (index, name) in names.iter().enumerate() {
            let without = read(kind, |_, tensors| _ = tensors.remove(index));
            // The engine does without these.
            let spared = name.contains(".bias") && !name.starts_with("mm.")
                || ["v.post_ln", ".ln1", ".ln2"].iter().any(|part| name.contains(part));
            match without {
                Ok(_) => assert!(spared, "{kind:?} {name}"),
                Err(why) => assert!(!spared, "{kind:?} {name}: {why}"),
            }
        }
    }
}

#[test]
fn values_of_another_type_or_out_of_range_are_refused_by_name() {
    let set = |key: &'static str, value: Value| {
        refused(Idefics3, |metadata, _| {
            metadata.retain(|(known, _)| *known != key);
            metadata.push((key, value));
        })
    };
    let cases = [
        ("clip.vision.patch_size", Value::Float(8.0)),
        ("clip.vision.patch_size", Value::Number(0)),
        ("clip.vision.image_size", Value::Number(1_000_000)),
        ("clip.vision.attention.head_count", Value::Number(0)),
        ("clip.vision.block_count", Value::Number(u32::MAX)),
        ("clip.vision.attention.layer_norm_epsilon", Value::Number(1)),
        ("clip.vision.projector.scale_factor", Value::Number(3)),
        ("clip.vision.projector.scale_factor", Value::Number(1)),
        ("clip.vision.preproc_image_size", Value::Number(1 << 20)),
        ("clip.vision.image_mean", Value::Floats(vec![0.5; 2])),
        ("clip.vision.image_std", Value::Numbers(vec![1; 3])),
        ("clip.use_gelu", Value::Number(1)),
        ("clip.projector_type", Value::Number(1)),
        ("clip.has_audio_encoder", Value::Flag(true)),
        ("clip.vision.feature_layer", Value::Numbers(vec![1])),
        ("clip.vision.attention.head_dim", Value::Number(5)),
        ("general.name", Value::Number(1)),
    ];
    for (key, value) in cases {
        let why = set(key, value.clone());
        assert!(why.contains(&format!("`{key}`")), "{key} {value:?}: {why}");
    }
    let why = set("clip.vision.attention.head_count", Value::Number(3));
    assert!(why.ends_with("3 heads do not share 32 numbers evenly"), "{why}");
    let why = set("clip.projector_type", Value::Text("resampler".into()));
    assert!(why.ends_with("those that can be run are `gemma3`, `idefics3`, `mlp`"), "{why}");
    let why = set("general.architecture", Value::Text("llama".into()));
    assert!(why.ends_with("its architecture is `llama`, not `clip`"), "{why}");
}

#[test]
fn arrays_that_change_the_computation_or_end_too_early_are_refused() {
    let extra = Tensor { name: "v.blk.0.ls1.weight".into(), shape: vec![32], data: vec![1.0; 32] };
    let why = refused(Mlp, |_, tensors| tensors.push(extra));
    assert!(why.ends_with("it has `v.blk.0.ls1.weight`, which is not known of this kind"), "{why}");
    let file = tempfile::NamedTempFile::new().unwrap();
    tiny::projector(file.path(), Mlp, 48, |_, _| {}).unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    std::fs::write(file.path(), &bytes[..bytes.len() - 8]).unwrap();
    let why = Projector::read(file.path()).unwrap_err().to_string();
    assert!(why.ends_with("it ends before the end of `mm.2.bias`"), "{why}");
}
