"""What a user writes, and type checkers say of it: lines that end in `# wrong` are errors, and no
others (tests/test_typed.py)."""

from __future__ import annotations

from typing import assert_type

import torch

import archc

net = archc.load("mnv3_large", alpha=0.75)
assert_type(net, archc.Net)
assert_type(net.build("torch"), torch.nn.Module)
optimizer = torch.optim.SGD(net.build("torch").train().parameters(), lr=0.1)
training: bool = net.build("torch").training
parameters: int = net.build("keras").count_params()
shape: tuple[int, ...] = net.output_shape
taps: list[archc.Tap] = [*net.taps]
text: str = net.source("keras") + net.source(archc.OtherBackend("flax"))
own = net.build(archc.OtherBackend("flax"))
given = archc.load({"archc": 1, "name": "Net"}, include=["blocks"], classes=10)
folded: archc.Net = given.for_inference()
effect: str = str(net.diff(given).effect)

print(archc.nonsense)  # wrong
print(net.nonsense)  # wrong
net.source("pytorch")  # wrong
net.build("jax")  # wrong
net.build("torch", "224")  # wrong
net.build("torch").nonsense()  # wrong
optimizer = torch.optim.SGD(net.build("torch"), lr=0.1)  # wrong
archc.load(3)  # wrong
count: str = net.macs  # wrong
wide: int = net.output_shape  # wrong
net.alpha = 1.0  # wrong
backend = input()
net.source(backend)  # wrong
