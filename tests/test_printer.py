"""The IR's text, which other tests compare inline."""

from __future__ import annotations

import archc

SPEC = """\
archc: 1
name: Tiny
params:
  classes: {type: int, default: 10, min: 1, keep: true}
  wide: {type: bool, default: false}
input: {channels: 3, height: 8, width: 6}
blocks:
  gated:
    inputs: [x, gate]
    params: {act: {type: activation, default: relu}}
    let: {reduced: x.channels // 2}
    steps:
      - squeeze: conv2d(gate, reduced, kernel=1)
      - act: activation(squeeze, act)
        when: act
      - expand: conv2d(act, x.channels, kernel=1, bias=false)
    returns: x * expand
network:
  - {block: conv2d, name: stem, filters: 4, kernel: [3, 1], stride: 2}
  - {block: identity, when: wide}
  - {block: gated, from: [stem, stem], act: none, repeat: 2}
  - {block: global_avg_pool2d, name: pool}
  - {block: dense, units: classes + 1}
"""

TEXT = """\
network Tiny(classes=10)
input -> 3x8x6
stem = conv2d(input, filters=4, kernel=[3, 1], stride=[2, 2], padding=same, dilation=[1, 1], \
groups=1, bias=true, init=glorot_uniform, bias_init=zeros) -> 4x4x3
gated.0 = gated(stem, stem, act=none, reduced=2) -> 4x4x3
  squeeze = conv2d(gate, filters=2, kernel=[1, 1], stride=[1, 1], padding=same, dilation=[1, 1], \
groups=1, bias=true, init=glorot_uniform, bias_init=zeros) -> 2x4x3
  expand = conv2d(squeeze, filters=4, kernel=[1, 1], stride=[1, 1], padding=same, \
dilation=[1, 1], groups=1, bias=false, init=glorot_uniform, bias_init=zeros) -> 4x4x3
  result = multiply(x, expand) -> 4x4x3
gated.1 = gated(gated.0, stem, act=none, reduced=2) -> 4x4x3
  squeeze = conv2d(gate, filters=2, kernel=[1, 1], stride=[1, 1], padding=same, dilation=[1, 1], \
groups=1, bias=true, init=glorot_uniform, bias_init=zeros) -> 2x4x3
  expand = conv2d(squeeze, filters=4, kernel=[1, 1], stride=[1, 1], padding=same, \
dilation=[1, 1], groups=1, bias=false, init=glorot_uniform, bias_init=zeros) -> 4x4x3
  result = multiply(x, expand) -> 4x4x3
pool = global_avg_pool2d(gated.1, keepdims=false) -> 4
dense = dense(pool, units=classes + 1, bias=true, init=glorot_uniform, bias_init=zeros) -> 11
"""


def test_the_text_of_a_network(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    assert str(archc.load(path)) == TEXT
