//! Which classes and functions a pickle may name.

use microtome_core::{Error, Result};

/// Plain data constructors and harmless classes, by full name.
const NAMES: &[&str] = &[
    "_codecs.encode",
    "argparse.Namespace",
    "collections.Counter",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.deque",
    "copyreg._reconstructor",
    "datetime.date",
    "datetime.datetime",
    "datetime.time",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "functools.partial",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "types.SimpleNamespace",
    "typing.Any",
    "uuid.UUID",
    // NumPy's own pickle helpers, under their old and new homes.
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.random.__RandomState_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._mt19937.MT19937",
    "numpy.random._pcg64.PCG64",
    // torch's own pickle helpers.
    "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.contiguous_format",
    "torch.preserve_format",
    "torch.channels_last",
    "torch.strided",
    // pandas' pickle helpers.
    "pandas._libs.internals._unpickle_block",
    "pandas.core.indexes.base._new_Index",
];

/// Built-in types that only hold data.
const BUILTINS: &[&str] = &[
    "bool",
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "object",
    "range",
    "set",
    "slice",
    "str",
    "tuple",
];

/// Packages whose classes (capitalised names) may be named; they become opaque.
const PACKAGES: &[&str] = &[
    "__main__",
    "anndata",
    "composer",
    "datasets",
    "geneformer",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "llmfoundry",
    "modelgenerator",
    "nicheformer",
    "omegaconf",
    "pandas",
    "performer_pytorch",
    "pytorch_lightning",
    "scfoundation",
    "scgpt",
    "scprint",
    "scprint2",
    "sklearn",
    "state",
    "streaming",
    "tahoe_x1",
    "torchmetrics",
    "transcriptformer",
    "transformers",
    "vci",
];

/// Parts of torch that hold only classes of data, layers, optimizers and schedules.
const TORCH: &[&str] =
    &["torch.amp", "torch.cuda", "torch.nn", "torch.optim", "torch.storage", "torch.utils.data"];

/// Module names that reach the system; refused wherever they appear in a path.
const DANGEROUS: &[&str] = &[
    "asyncio",
    "builtins",
    "code",
    "codeop",
    "ctypes",
    "ftplib",
    "http",
    "imp",
    "importlib",
    "io",
    "marshal",
    "multiprocessing",
    "nt",
    "os",
    "pickle",
    "posix",
    "pty",
    "requests",
    "runpy",
    "shutil",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
    "threading",
    "timeit",
    "urllib",
    "webbrowser",
];

/// Longest module or class name.
const MAX_NAME: usize = 200;

/// Checks that a pickle may name `module.name`; see the [module documentation](super) for the rule.
pub(super) fn check(module: &str, name: &str) -> Result<()> {
    if allowed(module, name) {
        return Ok(());
    }
    let shown: String = format!("{module}.{name}").chars().take(120).collect();
    Err(Error::unreadable(format!("the pickle names `{shown}`, which is not on the list of harmless classes"))
        .expected("tensors, plain containers and the metadata classes of known checkpoints")
        .found(shown)
        .remedy("nothing was run; do not open this file in Python unless you trust its source, or ask for safetensors"))
}

fn allowed(module: &str, name: &str) -> bool {
    if module.len().max(name.len()) > MAX_NAME {
        return false;
    }
    if matches!(module, "builtins" | "__builtin__") {
        return BUILTINS.contains(&name);
    }
    let module = if module == "copy_reg" { "copyreg" } else { module };
    let full = format!("{module}.{name}");
    if NAMES.contains(&full.as_str()) {
        return true;
    }
    match module {
        "torch" => {
            super::known::torch_dtype(name).is_some()
                || (is_class_name(name)
                    && (name.ends_with("Storage") || matches!(name, "Size" | "Tensor" | "Generator")))
        }
        "numpy" => super::numpy::is_numpy_type(name),
        "numpy.dtypes" => is_class_name(name),
        _ => {
            let root = module.split('.').next().unwrap_or_default();
            is_class_name(name)
                && !module.split('.').any(|part| DANGEROUS.contains(&part))
                && (PACKAGES.contains(&root) || TORCH.iter().any(|t| is_within(module, t)))
        }
    }
}

fn is_within(module: &str, parent: &str) -> bool {
    module.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A capitalised identifier, possibly nested (`Outer.Inner`).
fn is_class_name(name: &str) -> bool {
    name.split('.').all(|part| {
        let part = part.strip_prefix('_').unwrap_or(part);
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_classes_pass_and_everything_else_is_named() {
        for (module, name) in [
            ("collections", "OrderedDict"),
            ("torch", "FloatStorage"),
            ("torch", "bfloat16"),
            ("torch.storage", "UntypedStorage"),
            ("torch.nn.parameter", "Parameter"),
            ("torch.optim.lr_scheduler", "LambdaLR"),
            ("numpy", "float64"),
            ("numpy.dtypes", "Float64DType"),
            ("omegaconf.dictconfig", "DictConfig"),
            ("omegaconf.base", "ContainerMetadata"),
            ("vci.data.loader", "VCIDatasetSentenceCollator"),
            ("__builtin__", "set"),
            ("copy_reg", "_reconstructor"),
            ("argparse", "Namespace"),
            ("pytorch_lightning.utilities.parsing", "AttributeDict"),
        ] {
            check(module, name).unwrap();
        }
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("nt", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "getattr"),
            ("builtins", "__import__"),
            ("builtins", "type"),
            ("__builtin__", "eval"),
            ("torch", "load"),
            ("torch.hub", "load"),
            ("torch.storage", "_load_from_bytes"),
            ("torch.utils.cpp_extension", "load"),
            ("torch.serialization", "load"),
            ("numpy", "load"),
            ("numpy.testing._private.utils", "runstring"),
            ("pandas", "read_pickle"),
            ("transformers.utils.os", "System"),
            ("lightning.pytorch.core.subprocess", "Popen"),
            ("omegaconf", "OmegaConf.load"),
            ("omegaconf.os", "system"),
            ("omegaconfx", "DictConfig"),
            ("", ""),
            ("collections", "OrderedDict.__class__"),
            ("operator", "attrgetter"),
            ("functools", "reduce"),
        ] {
            let e = check(module, name).unwrap_err();
            assert!(e.what().contains(&format!("{module}.{name}")), "{e}");
        }
    }
}
