"""Writes the small checkpoints of this folder and what they hold (expected.json).

Python 3.11, numpy 2.4.6; torch is not needed: its classes are imitated by name, so that the pickles carry the same
globals, persistent ids and containers as torch.save writes (1.6 and later: zip; before: bare pickles).
Run in this folder: python fixtures.py
"""
import argparse, collections, io, json, pathlib, pickle, struct, sys, types, zipfile
import numpy as np

def module(name):
    m = types.ModuleType(name)
    sys.modules[name] = m
    return m

torch, utils, storage_module, parameter = (module(n) for n in ("torch", "torch._utils", "torch.storage", "torch.nn.parameter"))
module("torch.nn")
omega = module("omegaconf.dictconfig"); module("omegaconf")

def named(mod, name, make=lambda name: type(name, (), {})):
    thing = make(name)
    thing.__module__, thing.__qualname__, thing.__name__ = mod.__name__, name, name
    setattr(mod, name, thing)
    return thing

def function(name):
    return (lambda *a: None)

TYPES = {"f64": ("DoubleStorage", "f8"), "f32": ("FloatStorage", "f4"), "f16": ("HalfStorage", "f2"), "i64": ("LongStorage", "i8"),
         "i32": ("IntStorage", "i4"), "i16": ("ShortStorage", "i2"), "i8": ("CharStorage", "i1"), "u8": ("ByteStorage", "u1"),
         "bool": ("BoolStorage", "?"), "bf16": ("BFloat16Storage", None)}
for cls, _ in TYPES.values():
    named(torch, cls)
named(storage_module, "UntypedStorage")
for f in ("_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"):
    named(utils, f, function)
named(torch, "Size", lambda n: type(n, (tuple,), {}))
DictConfig = named(omega, "DictConfig")

class Storage:
    def __init__(self, dtype, values, big=False):
        self.dtype, self.n = dtype, len(values)
        order = ">" if big else "<"
        if dtype == "bf16":
            bits = (np.asarray(values, "f4").view("u4") >> 16).astype("u2")
            self.data = bits.astype(order + "u2").tobytes()
        else:
            self.data = np.asarray(values).astype(order + TYPES[dtype][1]).tobytes()

class Call:
    """An object pickled as function(*args), with a state if there is one."""
    def __init__(self, f, *args, state=None):
        self.parts = (f, args) if state is None else (f, args, state)
    def __reduce__(self):
        return self.parts

def tensor(storage, shape, strides=None, offset=0, parameter=False):
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1:], dtype=int)) for i in range(len(shape)))
    t = Call(utils._rebuild_tensor_v2, storage, offset, tuple(shape), tuple(strides), False, collections.OrderedDict())
    return Call(utils._rebuild_parameter, t, True, collections.OrderedDict()) if parameter else t

class Pickler(pickle._Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol)
        self.legacy, self.storages = legacy, []
    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        key = str(self.storages.index(obj))
        base = ("storage", getattr(torch, TYPES[obj.dtype][0]), key, "cpu", obj.n)
        return base + (None,) if self.legacy else base
    def save_global(self, obj, name=None):
        # Written by name; the imitation modules need not be importable.
        if getattr(obj, "__module__", "").split(".")[0] in ("torch", "omegaconf"):
            self.write(b"c" + f"{obj.__module__}\n{obj.__qualname__}\n".encode())
            self.memoize(obj)
        else:
            super().save_global(obj, name)
    dispatch = dict(pickle._Pickler.dispatch)
    dispatch[types.FunctionType] = save_global
    dispatch[type] = save_global

def dump(obj, legacy=False):
    out = io.BytesIO()
    p = Pickler(out, 2, legacy)
    p.dump(obj)
    return out.getvalue(), p.storages

def save_zip(path, obj, byteorder="little"):
    data, storages = dump(obj)
    stem = pathlib.Path(path).stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        def put(name, content):
            info = zipfile.ZipInfo(f"{stem}/{name}", (1980, 1, 1, 0, 0, 0))
            z.writestr(info, content)
        put("data.pkl", data)
        put("byteorder", byteorder)
        for i, s in enumerate(storages):
            put(f"data/{i}", s.data)
        put("version", "3\n")

def save_legacy(path, obj):
    data, storages = dump(obj, legacy=True)
    facts = dict(protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4))
    with open(path, "wb") as f:
        for head in (0x1950A86A20F9469CFC6C, 1001, facts):
            f.write(pickle.dumps(head, 2))
        f.write(data)
        f.write(pickle.dumps([str(i) for i in range(len(storages))], 2))
        for s in storages:
            f.write(struct.pack("<q", s.n) + s.data)

expected = {}
def note(path, **tensors):
    expected[path] = {k: dict(dtype=d, shape=list(s), values=[float(x) for x in np.asarray(v, float).ravel()])
                      for k, (d, s, v) in ((k.replace("__", "."), t) for k, t in tensors.items())}

# Every element type, views, ties, nesting, a parameter, foreign metadata with a cycle.
def model(big=False):
    a = Storage("f32", np.arange(6), big)
    cfg = Call(DictConfig)
    content = {"lr": 0.5, "self": cfg}
    cfg.parts = (DictConfig, (), {"_content": content, "_parent": None})
    state = collections.OrderedDict()
    state["w"] = tensor(a, (2, 3), parameter=True)
    state["w_t"] = tensor(a, (3, 2), (1, 3))
    state["tied"] = tensor(a, (2, 3))
    state["row"] = tensor(a, (3,), (1,), 3)
    state["wide"] = tensor(a, (2, 2), (0, 1), 4)
    state["empty"] = tensor(a, (0, 3))
    for d in TYPES:
        state["t_" + d] = tensor(Storage(d, [0, 1] if d == "bool" else [1, 2.5, 3] if d[0] in "fb" else [1, 2, 100], big),
                                 (2,) if d == "bool" else (3,))
    state["scalar"] = tensor(Storage("i64", [7], big), ())
    return {"epoch": 3, "state_dict": state, "hyper_parameters": {"args": argparse.Namespace(n=4, name="x"), "cfg": cfg,
            "genes": ["ENSG1", "ENSG2"], "size": torch.Size((1, 2)), "mean": np.float64(0.25), "table": np.asfortranarray([[1, 2], [3, 4]])},
            "optimizer_states": [{"state": {0: {"exp_avg": tensor(Storage("f32", [9], big), (1,))}}}]}

def note_model(path):
    s = {"state_dict__w": ("f32", (2, 3), range(6)), "state_dict__w_t": ("f32", (3, 2), [0, 3, 1, 4, 2, 5]),
         "state_dict__tied": ("f32", (2, 3), range(6)), "state_dict__row": ("f32", (3,), [3, 4, 5]),
         "state_dict__wide": ("f32", (2, 2), [4, 5, 4, 5]), "state_dict__empty": ("f32", (0, 3), [])}
    for d in TYPES:
        v = [0, 1] if d == "bool" else [1, 2.5, 3] if d[0] in "fb" else [1, 2, 100]
        s["state_dict__t_" + d] = (d, (len(v),), v)
    s["state_dict__scalar"] = ("i64", (), [7])
    s["optimizer_states__0__state__0__exp_avg"] = ("f32", (1,), [9])
    note(path, **s)

save_zip("zip.ckpt", model()); note_model("zip.ckpt")
save_zip("zip_big_endian.ckpt", model(True), "big"); note_model("zip_big_endian.ckpt")
save_legacy("legacy.pth", model()); note_model("legacy.pth")
save_zip("bare.pt", tensor(Storage("f32", [1, 2]), (2,))); note("bare.pt", tensor=("f32", (2,), [1, 2]))

arrays = dict(f=np.asfortranarray(np.arange(6, dtype="<f8").reshape(2, 3)), b=np.array([True, False]), i=np.array([[1], [-2]], ">i4"), s=np.float16(1.5))
np.savez("stored.npz", words=np.array(["a", "bc"]), **arrays)
np.savez_compressed("deflated.npz", words=np.array(["a", "bc"]), **arrays)
for n in ("stored.npz", "deflated.npz"):
    note(n, f=("f64", (2, 3), range(6)), b=("bool", (2,), [1, 0]), i=("i32", (2, 1), [1, -2]), s=("f16", (), [1.5]))
np.save("column_major.npy", arrays["f"]); note("column_major.npy", tensor=("f64", (2, 3), range(6)))

header = b'{"__metadata__":{"format":"pt"},"a.b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"c":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}'
pathlib.Path("two.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<i", -5) + b"\xc0\x3f\x00\xc0")
note("two.safetensors", **{"a.b": ("bf16", (2,), [1.5, -2]), "c": ("i32", (), [-5])})

def field(n, payload):  # length-delimited protobuf field
    assert len(payload) < 128
    return bytes([n << 3 | 2, len(payload)]) + payload
def value(tag, dims, kind, content):
    return field(1, field(1, tag) + field(2, b"".join(bytes([8, d]) for d in dims) + field(2, kind) + field(3, content)))
split = np.arange(4, dtype="<f4").tobytes()
pathlib.Path("mindspore.ckpt").write_bytes(value(b"gene_emb", [2, 2], b"Float32", split[:6]) + value(b"gene_emb", [2, 2], b"Float32", split[6:])
                                           + value(b"global_step", [0], b"Int32", struct.pack("<i", 8)))
note("mindspore.ckpt", gene_emb=("f32", (2, 2), range(4)), global_step=("i32", (), [8]))

# One object in every pickle protocol.
shared = ["x"]
everything = {"none": None, "true": True, "ints": [0, 255, 256, 65535, 65536, -1, 2**31, -(2**63), 2**63 - 1], "big": 2**70, "float": 0.1,
              "text": "g\u00e9ne \U0001f9ec\n\\", "bytes": b"\x00\xff", "tuple": (1, (2,), ()), "set": {5}, "frozen": frozenset({6}),
              "ordered": collections.OrderedDict([("b", 1), ("a", 2)]), "count": collections.Counter("aab"), "default": collections.defaultdict(list, k=[1]),
              "shared": [shared, shared], "namespace": argparse.Namespace(lr=1e-3), "scalar": np.int16(-3), "array": np.arange(4, dtype="f4").reshape(2, 2)}
for p in range(6):
    obj = {k: v for k, v in everything.items() if p > 0 or k != "big"}
    pathlib.Path(f"protocol{p}.pkl").write_bytes(pickle.dumps(obj, p))

pathlib.Path("expected.json").write_text(json.dumps(expected, indent=0, sort_keys=True) + "\n")
