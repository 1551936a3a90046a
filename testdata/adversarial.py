#!/usr/bin/env python3
"""Writes adversarial.json: rows that are built to break sums, differences and powers, their exact losses and gradients
(mpmath, 400 digits), and what PyTorch makes of them in float32.

  /usr/bin/python3 adversarial.py > adversarial.json     (Debian: python3-torch, python3-mpmath)

The loss in PyTorch is the one of the usual recipe: ce = cross_entropy(z, t), p_t = exp(-ce), (1 - p_t)^gamma ce.
A row is its pattern, repeated to the number of classes, plus step times the index, with some elements set; every value
is a float32. grad has the gradients of the classes in ask. Numbers are C99 hex floats.
"""
import json, struct, sys
from collections import Counter

import mpmath
import torch
import torch.nn.functional as F

mpmath.mp.dps = 400
torch.set_num_threads(1)


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def rows():
    big = 3e38
    common = [0, 0.5, 1, 2, 5]
    yield "1000 equal classes", 1000, [0.3], 0, {}, 0, common
    yield "2^20 equal classes", 1 << 20, [-1.7], 0, {}, 7, common
    yield "2^20 classes against one that balances them", 1 << 20, [0], 0, {7: 13.86}, 7, [0, 2]
    yield "2^20 classes, the label e^-20 of each", 1 << 20, [0], 0, {7: -20}, 7, [0, 2]
    yield "alternating 20, -20", 1000, [20, -20], 0, {}, 1, [0, 2]
    yield "alternating 20, -20, the label high", 1000, [20, -20], 0, {}, 0, [0, 2]
    yield "alternating magnitudes 88, -88, 0.25, 87.5", 1024, [88, -88, 0.25, 87.5], 0, {}, 3, [0, 2]
    yield "a large term first, then many small", 4096, [-8], 0, {0: 8, 9: -4}, 9, [0, 2]
    yield "many small terms, then a large one", 4096, [-8], 0, {4095: 8, 9: -4}, 9, [0, 2]
    yield "descending by 2^-7", 4096, [0], -(2.0**-7), {}, 4000, [0, 2]
    yield "ascending by 2^-7", 4096, [0], 2.0**-7, {}, 100, [0, 2]
    yield "1 - p_t = 1e-6", 80, [0], 0, {3: 18}, 3, common
    yield "1 - p_t = 1e-8", 80, [0], 0, {3: 23}, 3, common
    yield "1 - p_t = 3e-16", 80, [0], 0, {3: 40}, 3, common
    yield "1 - p_t = 1e-28", 80, [0], 0, {3: 69}, 3, [0, 0.5, 1]
    yield "p_t = 1e-30", 80, [0], 0, {3: -65}, 3, [0, 2, 5]
    yield "p_t = e^-10000", 80, [0], 0, {3: -10000}, 3, [0, 2, 5]
    yield "one huge, another is the label", 80, [0], 0, {5: 1e30}, 3, [0, 2]
    yield "one huge, the label", 80, [0], 0, {5: 1e30}, 5, [0, 2]
    yield "near 12345, apart by units in the last place", 80, [12345.678, 12345.679, 12345.677], 0, {}, 1, [0, 2]
    yield "near 2^23, apart by 1", 80, [2.0**23, 2.0**23 - 1, 2.0**23 + 1], 0, {}, 1, [0, 2]
    yield "near -1e6", 80, [-1e6, -1000001, -1000002.5], 0, {}, 0, [0, 2]
    yield "gamma 1e-30, 1 - p_t = 3e-16", 80, [0], 0, {3: 40}, 3, [1e-30]
    yield "gamma 1e-30", 80, [0.5, -1, 2], 0, {}, 1, [1e-30]
    yield "gamma 1e30, p_t = 1e-30", 80, [0], 0, {3: -65}, 3, [1e30]
    yield "gamma 1e30", 80, [0.5, -1, 2], 0, {}, 1, [1e30]
    yield "gamma 100", 80, [0.5, -1, 2], 0, {}, 2, [100]
    yield "the largest logits", 80, [big, -big], 0, {}, 0, [0, 2]
    yield "the largest logits, the label low", 80, [big, -big], 0, {}, 1, [0, 2]


def hexed(x):
    x = float(x)
    return x.hex() if x == x and abs(x) != float("inf") else {"inf": "Inf", "-inf": "-Inf", "nan": "NaN"}[repr(x)]


def exact(z, t, gamma, ask):
    mp = mpmath.mpf
    count = Counter(z)
    top = max(count)
    e = {v: mpmath.exp(mp(v) - mp(top)) for v in count}
    rest = sum((n - (v == z[t])) * e[v] for v, n in count.items())
    total = rest + e[z[t]]
    q = rest / total
    pt = e[z[t]] / total
    nll = mpmath.log1p(rest / e[z[t]]) if pt > 0.5 else mpmath.log(total) + mp(top) - mp(z[t])
    focus = mp(1) if gamma == 0 else mpmath.power(q, mp(gamma))
    g = focus * (1 + mp(gamma) * pt * nll / q)
    return focus * nll, [-g * q if j == t else g * e[z[j]] / total for j in ask]


def pytorch(z, t, gamma, ask):
    x = torch.tensor([z], dtype=torch.float32, requires_grad=True)
    ce = F.cross_entropy(x, torch.tensor([t]), reduction="none")
    pt = torch.exp(-ce)
    loss = (1 - pt) ** gamma * ce
    loss.sum().backward()
    return loss.item(), [x.grad[0, j].item() for j in ask]


out = []
for name, classes, pattern, step, fixed, label, gammas in rows():
    z = [f32(pattern[j % len(pattern)] + step * j) for j in range(classes)]
    for j, v in fixed.items():
        z[j] = f32(v)
    ask = sorted({label, (label + 1) % classes, classes - 1})
    for gamma in gammas:
        gamma = f32(gamma)
        loss, grads = exact(z, label, gamma, ask)
        theirs, their_grads = pytorch(z, label, gamma, ask)
        out.append({
            "name": name, "classes": classes, "pattern": [hexed(f32(v)) for v in pattern], "step": hexed(step),
            "set": {str(j): hexed(f32(v)) for j, v in fixed.items()}, "label": label, "gamma": hexed(gamma),
            "loss": hexed(loss), "ask": ask, "grad": [hexed(v) for v in grads],
            "pytorch": {"loss": hexed(theirs), "grad": [hexed(v) for v in their_grads]},
        })
print(f"{len(out)} cases, PyTorch {torch.__version__}", file=sys.stderr)
print("[" + ",\n".join(json.dumps(c) for c in out) + "]")
