#!/usr/bin/env python3
"""Write reference cases for label smoothing and soft targets: float32 inputs, 60-digit results rounded to float64.

Usage: make_feature_cases.py SEED | gzip -9n > feature_cases.json.gz

Needs mpmath (Debian's python3-mpmath). Floats are C99 hex strings. Beside each gradient stands the sum of the magnitudes
of its terms, against which its error is measured: a gradient crosses zero. Gradients of small cases are held against
difference quotients of the loss.
"""
import json, math, random, struct, sys
import mpmath as mp

mp.mp.dps = 60
rng = random.Random(int(sys.argv[1]))
INF = float("inf")


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def hexes(xs):
    return [float(x).hex() for x in xs]


def power(q, g):
    return mp.mpf(1) if g == 0 else mp.power(q, g)


def log_probs(z):
    """-log p and 1 - p of every class; masked classes have None."""
    live = [j for j, v in enumerate(z) if v != -INF]
    m = max(z[j] for j in live)
    e = {j: mp.exp(mp.mpf(z[j]) - m) for j in live}
    nll, q = [None] * len(z), [mp.mpf(1)] * len(z)
    for j in live:
        rest = mp.fsum(e[k] for k in live if k != j)
        nll[j], q[j] = mp.log1p(rest / e[j]), rest / (rest + e[j])
    return nll, q


def softmax_loss(z, t, alpha, gamma, eps):
    nll, q = log_probs(z)
    live = [l for l in nll if l is not None]
    ce = (1 - eps) * nll[t] + eps / len(live) * mp.fsum(live)
    return alpha * power(q[t], gamma) * ce


def softmax_grad(z, t, alpha, gamma, eps):
    nll, q = log_probs(z)
    live = [l for l in nll if l is not None]
    share = eps / len(live)
    ce = (1 - eps) * nll[t] + share * mp.fsum(live)
    s = alpha * power(q[t], gamma)
    rest = q[t]  # p_j / q = e_j / R
    grad, size = [], []
    for j in range(len(z)):
        if nll[j] is None:
            grad.append(mp.mpf(0)), size.append(mp.mpf(0))
            continue
        if j == t:
            slope = gamma * (1 - q[t]) * ce
            grad.append(s * (-q[t] + eps - share - slope))
            size.append(s * (q[t] + eps - share + slope))
            continue
        p = mp.exp(-nll[j])
        slope = gamma * (1 - q[t]) * ce * p / rest
        grad.append(s * (p - share + slope))
        size.append(s * (p + share + slope))
    return grad, size


def onevsrest(x, y, weight, gamma, eps):
    """Loss, gradient and its size of one class: a hard target y in the focus, a smoothed one in the cross-entropy."""
    x = mp.mpf(x)
    l1, l0 = mp.log1p(mp.exp(-x)), mp.log1p(mp.exp(x))
    p, n = 1 / (1 + mp.exp(-x)), 1 / (1 + mp.exp(x))
    ys = 1 - eps / 2 if y else eps / 2
    ce = ys * l1 + (1 - ys) * l0
    q = n if y else p
    s = weight * power(q, gamma)
    slope = gamma * ce * (p if y else n)
    sign = -1 if y else 1
    return s * ce, sign * s * (q - eps / 2 + slope), s * (q + eps / 2 + slope)


def soft_loss(z, y, alpha, gamma):
    nll, q = log_probs(z)
    return mp.fsum(alpha[c] * y[c] * power(q[c], gamma) * nll[c] for c in range(len(z)) if nll[c] is not None)


def soft_grad(z, y, alpha, gamma):
    nll, q = log_probs(z)
    h = []
    for c in range(len(z)):
        w = mp.mpf(alpha[c]) * y[c]
        if nll[c] is None:
            h.append(w)
            continue
        ratio = nll[c] / q[c] if q[c] else mp.mpf(1)
        h.append(w * power(q[c], gamma) * (1 + gamma * mp.exp(-nll[c]) * ratio))
    grad, size = [], []
    for j in range(len(z)):
        p = mp.mpf(0) if nll[j] is None else mp.exp(-nll[j])
        others = mp.fsum(h[c] for c in range(len(z)) if c != j)
        grad.append(p * others - q[j] * h[j])
        size.append(p * others + q[j] * h[j])
    return grad, size


def row(C, kind):
    if kind == "normal":
        return [f32(rng.gauss(0, 3)) for _ in range(C)]
    if kind == "confident":
        z = [f32(rng.gauss(0, 1)) for _ in range(C)]
        z[rng.randrange(C)] = f32(rng.uniform(12, 60))
        return z
    if kind == "huge":
        return [f32(rng.uniform(-1e4, 1e4)) for _ in range(C)]
    if kind == "ties":
        return [f32(rng.choice([-1.5, 0.0, 2.25])) for _ in range(C)]
    if kind == "masks":
        z = [f32(rng.gauss(0, 3)) if rng.random() < 0.7 else -INF for _ in range(C)]
        z[rng.randrange(C)] = 1.0
        return z
    raise ValueError(kind)


def check(f, z, grad, size):
    """grad against difference quotients of f."""
    for j in range(len(z)):
        if z[j] == -INF:
            continue
        h = mp.mpf(10) ** -20

        def at(d):
            return f([mp.mpf(v) + d if i == j else v for i, v in enumerate(z)])

        slope = (at(h) - at(-h)) / (2 * h)
        assert abs(slope - grad[j]) <= mp.mpf(10) ** -17 * (size[j] + mp.mpf(10) ** -30), (j, slope, grad[j])


cases = []
gammas = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, f32(0.7)]
shapes = [(4, 5), (6, 2), (3, 1), (12, 3), (5, 17), (2, 80), (1, 257)]
kinds = ["normal", "confident", "huge", "ties", "masks"]
k = 0
for form in ("softmax", "onevsrest", "soft"):
    for rows, C in shapes:
        for kind in kinds:
            if form == "onevsrest" and kind == "masks":
                continue
            gamma = gammas[k % len(gammas)]
            eps = f32([0.1, 0.05, 0.3, 0.9][k % 4])
            k += 1
            g, e = mp.mpf(gamma), mp.mpf(eps)
            z = [row(C, kind) for _ in range(rows)]
            alpha = [f32(rng.uniform(0.05, 2)) for _ in range(C)] if k % 2 else [1.0] * C
            c = dict(form=form, kind=kind, rows=rows, classes=C, gamma=gamma.hex())
            loss, grad, size = [], [], []
            if form == "softmax":
                labels = [rng.choice([j for j in range(C) if r[j] != -INF]) for r in z]
                c.update(smoothing=eps.hex(), alpha=hexes(alpha), labels=labels)
                for r, t in zip(z, labels):
                    loss.append(softmax_loss(r, t, alpha[t], g, e))
                    d, s = softmax_grad(r, t, alpha[t], g, e)
                    if C <= 5 and kind != "huge":
                        check(lambda v: softmax_loss(v, t, alpha[t], g, e), r, d, s)
                    grad += d
                    size += s
            elif form == "onevsrest":
                a = 0.25 if k % 2 else 0.0
                labels = [rng.randrange(C + 1) for _ in z]
                c.update(smoothing=eps.hex(), alpha=hexes([a]), labels=labels)
                for r, t in zip(z, labels):
                    total = mp.mpf(0)
                    for j, x in enumerate(r):
                        w = 1 if a == 0 else a if j == t else 1 - a
                        l, d, s = onevsrest(x, j == t, w, g, e)
                        if kind != "huge":
                            check(lambda v: onevsrest(v[0], j == t, w, g, e)[0], [x], [d], [s])
                        total += l
                        grad.append(d), size.append(s)
                    loss.append(total)
            else:
                targets = []
                for r in z:
                    y = [rng.random() for _ in range(C)]
                    if k % 3 == 0:  # nearly one-hot
                        y = [v * 1e-6 for v in y]
                        y[rng.randrange(C)] = 1.0
                    if k % 3 == 1:
                        y = [v / sum(y) for v in y]
                    y = [f32(v) if x != -INF else 0.0 for v, x in zip(y, r)]
                    targets += y
                    loss.append(soft_loss(r, y, alpha, g))
                    d, s = soft_grad(r, y, alpha, g)
                    if C <= 5 and kind != "huge":
                        check(lambda v: soft_loss(v, y, alpha, g), r, d, s)
                    grad += d
                    size += s
                c.update(alpha=hexes(alpha), targets=hexes(targets))
            c.update(logits=hexes(v for r in z for v in r), loss=hexes(loss), grad=hexes(grad), size=hexes(size))
            cases.append(c)
json.dump(cases, sys.stdout, indent=0)
print(len(cases), "cases", file=sys.stderr)
