"""Writes kit_digests.tsv: one checksum per checkpoint of the shared parity kits, from an independent reader.

Python 3.11, numpy 2.4.6. Torch pickles are read by Python's own unpickler with inert stand-ins for every class.
A checksum is the CRC-32 over all tensors in file order: name, shape, then the elements as little-endian f64.
Run: python kit_digests.py PATH_OF_SHARED_FOLDER
"""
import collections, io, json, pathlib, pickle, struct, sys, zipfile, zlib
import numpy as np

KINDS = dict(DoubleStorage="<f8", FloatStorage="<f4", HalfStorage="<f2", LongStorage="<i8", IntStorage="<i4", ShortStorage="<i2",
             CharStorage="<i1", ByteStorage="<u1", BoolStorage="?")

class Lazy:
    def __init__(self, storage, offset, size, stride):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

class Inert:
    def __init__(self, *a, **k): pass
    def __setstate__(self, s): pass

class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *_: Lazy(storage, offset, size, stride)
        if name.endswith("Storage"):
            return name
        return Inert
    def persistent_load(self, pid):
        return pid[1], pid[2], pid[4]

def walk(obj, path=()):
    if isinstance(obj, Lazy):
        yield ".".join(path) or "tensor", obj
    elif isinstance(obj, dict):
        for k, v in obj.items():
            yield from walk(v, path + (str(k),))
    elif isinstance(obj, (list, tuple)):
        for i, v in enumerate(obj):
            yield from walk(v, path + (str(i),))

def view(lazy, data):
    a = np.frombuffer(data, KINDS[lazy.storage[0]])
    step = a.dtype.itemsize
    return np.lib.stride_tricks.as_strided(a[lazy.offset:], lazy.size, [s * step for s in lazy.stride])

def torch_zip(path):
    z = zipfile.ZipFile(path)
    stem = next(n for n in z.namelist() if n.endswith("/data.pkl"))[:-8]
    for name, t in walk(Reader(io.BytesIO(z.read(stem + "data.pkl"))).load()):
        yield name, view(t, z.read(f"{stem}data/{t.storage[1]}"))

def torch_legacy(path):
    f = open(path, "rb")
    for _ in range(3):
        Reader(f).load()
    tensors = list(walk(Reader(f).load()))
    kind = {t.storage[1]: t.storage[0] for _, t in tensors}
    data = {}
    for key in Reader(f).load():
        n = struct.unpack("<q", f.read(8))[0]
        data[key] = f.read(n * np.dtype(KINDS[kind[key]]).itemsize)
    for name, t in tensors:
        yield name, view(t, data[t.storage[1]])

def safetensors(path):
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    for name, e in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            yield name, np.frombuffer(raw[8 + n + a:8 + n + b], {"F32": "<f4", "F64": "<f8", "I64": "<i8"}[e["dtype"]]).reshape(e["shape"])

def fields(raw):
    at = 0
    def varint():
        nonlocal at
        v = s = 0
        while True:
            b = raw[at]; at += 1
            v |= (b & 127) << s; s += 7
            if b < 128: return v
    while at < len(raw):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            n = varint(); at += n
            yield key >> 3, raw[at - n:at]

def mindspore(path):
    for _, value in fields(path.read_bytes()):
        value = dict(fields(value))
        parts = list(fields(value[2]))
        dims, rest = [v for k, v in parts if k == 1], {k: v for k, v in parts if k > 1}
        kind = {"Float32": "<f4", "Int32": "<i4", "Float64": "<f8", "Int64": "<i8"}[rest[2].decode()]
        yield value[1].decode(), np.frombuffer(rest[3], kind).reshape([] if dims == [0] else dims)

def read(path):
    head = path.open("rb").read(10)
    if head[:2] == b"PK": return torch_zip(path)
    if head[:6] == b"\x93NUMPY": return [("tensor", np.load(path))]
    if path.suffix == ".safetensors": return safetensors(path)
    if head[:2] == b"\x80\x02": return torch_legacy(path)
    return mindspore(path)

root = pathlib.Path(sys.argv[1]) / "parity"
lines = []
for path in sorted(root.rglob("*")):
    if path.suffix in {".pt", ".bin", ".ckpt", ".pth", ".torch", ".npy", ".npz"} or path.name.endswith("model.safetensors"):
        crc = count = 0
        for name, a in read(path):
            crc = zlib.crc32(f"{name}{list(a.shape)}".replace(" ", "").encode(), crc)
            crc = zlib.crc32(np.ascontiguousarray(a).astype("<f8").tobytes(), crc)
            count += 1
        lines.append(f"{path.relative_to(root)}\t{count}\t{crc:08x}\n")
(pathlib.Path(__file__).parent / "kit_digests.tsv").write_text("".join(lines))
