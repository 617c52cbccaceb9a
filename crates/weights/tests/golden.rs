//! The small files of `golden/checkpoints` hold what their generator wrote.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use microtome_weights::{Checkpoint, Loader, TensorData, Value, pickle, write_safetensors};

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/checkpoints").join(file)
}

#[test]
fn every_tensor_has_its_name_shape_type_and_values() {
    let text = std::fs::read_to_string(golden("expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), 9);
    for (file, tensors) in &expected {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        let tensors = tensors.as_object().unwrap();
        let mut names = checkpoint.names();
        names.sort_unstable();
        assert_eq!(names, tensors.keys().collect::<Vec<_>>(), "{file}");
        for (name, tensor) in tensors {
            let info = checkpoint.info(name).unwrap();
            assert_eq!(serde_json::json!(info.shape), tensor["shape"], "{file}: {name}");
            assert_eq!(info.dtype.name(), tensor["dtype"], "{file}: {name}");
            let values = checkpoint.read_f64(name).unwrap();
            assert_eq!(serde_json::json!(values), tensor["values"], "{file}: {name}");
        }
    }
}

#[test]
fn foreign_metadata_is_inert_but_readable() {
    for file in ["zip.ckpt", "legacy.pth"] {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        let at = |path: &str| checkpoint.value(path).unwrap_or_else(|| panic!("{file}: {path}"));
        assert_eq!(at("epoch").as_i64(), Some(3));
        assert_eq!(at("hyper_parameters.args.n").as_i64(), Some(4));
        assert_eq!(at("hyper_parameters.args").get("name").and_then(Value::as_str), Some("x"));
        assert_eq!(at("hyper_parameters.genes.1").as_str(), Some("ENSG2"));
        assert_eq!(at("hyper_parameters.size").as_list().map(<[Value]>::len), Some(2));
        assert_eq!(at("hyper_parameters.mean").as_f64(), Some(0.25));
        assert_eq!(at("hyper_parameters.cfg._content.lr").as_f64(), Some(0.5));
        let Value::Opaque(cfg) = at("hyper_parameters.cfg") else { panic!() };
        assert_eq!((cfg.module.as_str(), cfg.name.as_str()), ("omegaconf.dictconfig", "DictConfig"));
        assert!(matches!(at("hyper_parameters.cfg._content.self"), Value::Recursive));
        let Value::Array(table) = at("hyper_parameters.table") else { panic!() };
        assert_eq!(table.to_i64().unwrap(), [1, 2, 3, 4]);
        assert!(checkpoint.value("hyper_parameters.absent").is_none());
    }
}

#[test]
fn text_arrays_of_an_npz_are_values() {
    for file in ["stored.npz", "deflated.npz"] {
        let checkpoint = Checkpoint::open(&golden(file)).unwrap();
        let Some(Value::Array(words)) = checkpoint.value("words") else { panic!() };
        assert_eq!(words.to_strings().unwrap(), ["a", "bc"]);
    }
}

#[test]
fn every_pickle_protocol_gives_the_same_object() {
    for protocol in 0..6 {
        let value = pickle::read_file(&golden(&format!("protocol{protocol}.pkl"))).unwrap();
        let at = |key: &str| value.get(key).unwrap_or_else(|| panic!("protocol {protocol}: {key}"));
        let ints = |v: &Value| v.as_list().unwrap().iter().filter_map(Value::as_i64).collect::<Vec<_>>();
        assert!(matches!(at("none"), Value::None));
        assert_eq!(at("true").as_bool(), Some(true));
        assert_eq!(
            ints(at("ints")),
            [0, 255, 256, 65_535, 65_536, -1, 1 << 31, i64::MIN, i64::MAX],
            "protocol {protocol}"
        );
        assert_eq!(protocol > 0, matches!(value.get("big"), Some(Value::BigInt(_))));
        assert_eq!(at("float").as_f64(), Some(0.1));
        assert_eq!(at("text").as_str(), Some("g\u{e9}ne \u{1f9ec}\n\\"));
        assert!(matches!(at("bytes"), Value::Bytes(b) if **b == [0, 255]), "protocol {protocol}");
        assert_eq!(at("tuple").as_list().map(<[Value]>::len), Some(3));
        assert!(matches!(at("set"), Value::Set(_)) && ints(at("set")) == [5]);
        assert!(matches!(at("frozen"), Value::Set(_)) && ints(at("frozen")) == [6]);
        let keys = |v: &Value| -> Vec<String> {
            v.as_dict().unwrap().entries().iter().filter_map(|(k, _)| Some(k.as_str()?.to_owned())).collect()
        };
        assert_eq!(keys(at("ordered")), ["b", "a"]);
        assert_eq!(at("count").get("a").and_then(Value::as_i64), Some(2));
        assert_eq!(ints(at("default").get("k").unwrap()), [1]);
        assert_eq!(at("namespace").get("lr").and_then(Value::as_f64), Some(1e-3));
        assert_eq!(at("scalar").as_i64(), Some(-3));
        let Value::Array(array) = at("array") else { panic!("protocol {protocol}") };
        assert_eq!((array.shape(), array.to_f32().unwrap()), (&[2usize, 2][..], vec![0., 1., 2., 3.]));
    }
}

#[test]
fn a_loader_accounts_for_every_tensor() {
    let checkpoint = Checkpoint::open(&golden("zip.ckpt")).unwrap();
    let loader = Loader::new(&checkpoint);
    loader.scope("state_dict").unwrap();
    assert_eq!(loader.shape("w"), Some(&[2usize, 3][..]));
    assert_eq!(loader.f32("w", &[2, 3]).unwrap(), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(loader.i64("scalar", &[]).unwrap(), [7]);
    assert_eq!(loader.optional_f32("bias", &[3]).unwrap(), None);
    loader.tied("tied", "w").unwrap();
    loader.tied("decoder", "w").unwrap();
    assert!(loader.tied("row", "w").is_err());
    loader.ignore("t_*", "type samples");
    loader.ignore("optimizer_states.*", "training state");
    let e = loader.finish(true).unwrap_err();
    assert!(e.to_string().contains("state_dict.w_t") && e.to_string().contains("state_dict.empty"), "{e}");
    let e = loader.f32("w", &[3, 2]).unwrap_err().to_string();
    for part in ["zip.ckpt", "state_dict.w", "[3, 2]", "[2, 3]"] {
        assert!(e.contains(part), "{e}");
    }
    let e = loader.f32("w__t", &[1]).unwrap_err().to_string();
    assert!(e.contains("did you mean w_t?"), "{e}");
    let audit = loader.finish(false).unwrap();
    assert_eq!(
        audit.used.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
        ["state_dict.w", "state_dict.scalar"]
    );
    assert_eq!(audit.missing, ["decoder (tied to w)", "w__t"]);
    assert_eq!(audit.unexpected, ["state_dict.w_t", "state_dict.row", "state_dict.wide", "state_dict.empty"]);
    let reason = |name: &str| audit.ignored.iter().find(|t| t.name == name).unwrap().reason.as_str();
    assert_eq!(reason("state_dict.tied"), "tied to w");
    assert_eq!(reason("state_dict.t_f16"), "type samples");
    assert_eq!(reason("optimizer_states.0.state.0.exp_avg"), "training state");
    let n = audit.used.len() + audit.ignored.len() + audit.unexpected.len();
    assert_eq!(n, checkpoint.names().len());
}

#[test]
fn prefixes_come_off_and_must_not_collide() {
    let checkpoint = Checkpoint::open(&golden("zip.ckpt")).unwrap();
    let loader = Loader::new(&checkpoint);
    assert!(loader.strip_prefix("state_dict.").unwrap());
    assert!(!loader.strip_prefix("model.").unwrap());
    assert!(loader.has("w") && loader.has("optimizer_states.0.state.0.exp_avg"));
    assert!(loader.scope("nowhere").is_err());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two.safetensors");
    let tensor = |name: &str| (name.to_owned(), vec![1], TensorData::F32(&[1.0]));
    write_safetensors(&path, &[tensor("model.a"), tensor("a")], &[]).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let e = Loader::new(&checkpoint).strip_prefix("model.").unwrap_err();
    assert!(e.to_string().contains("model.a and a"), "{e}");
}
