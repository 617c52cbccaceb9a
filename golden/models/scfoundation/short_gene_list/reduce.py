"""Makes this folder's kit from the full kit of the same name: leaves out the attention tensors of the middle encoder block and the
feature maps of the last decoder block, so that the kit stays below 1.5 MB. Everything else is copied bit for bit.

python reduce.py FULL_KIT        (safetensors 0.8.0, numpy 2.4.6)
"""

import sys
from pathlib import Path

from safetensors.numpy import load_file, save_file

source, target = Path(sys.argv[1]), Path(__file__).parent
left_out = ("blocks.1.attn.", "decoder.blocks.1.attn.phi_")
tensors = load_file(source / "expected.safetensors")
save_file({n: t for n, t in tensors.items() if not n.startswith(left_out)}, target / "expected.safetensors")
