"""Serves PyTorch on one thread, by the protocol that remote.go describes."""
import signal
import sys
import time

import torch
import torch.nn.functional as F

try:
    from torchvision.ops import sigmoid_focal_loss
except ImportError:  # the same formula
    def sigmoid_focal_loss(inputs, targets, alpha=0.25, gamma=2, reduction="none"):
        p = torch.sigmoid(inputs)
        ce = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = p * targets + (1 - p) * (1 - targets)
        loss = ce * ((1 - p_t) ** gamma)
        if alpha >= 0:
            loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
        return loss.sum() if reduction == "sum" else loss


def softmax_focal_loss(logits, labels, weights, gamma):
    """The usual formula, unreduced."""
    log_p = F.log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
    return -weights[labels] * (1 - log_p.exp()) ** gamma * log_p


def bind(name, x, labels, targets, gamma, alpha, exponent):
    """Returns a function without arguments that computes the result, or None."""
    rows, classes = x.shape
    form, _, method = name.partition(".")
    if not method:
        out, index = torch.empty_like(x), labels.long()[:, None]
        return {
            "Exp": lambda: torch.exp(x, out=out),
            "Log": lambda: torch.log(x, out=out),
            "Pow": lambda: torch.pow(x, exponent, out=out),
            "Sigmoid": lambda: torch.sigmoid(x, out=out),
            "Softmax": lambda: torch.softmax(x, 1),
            "LogSoftmax": lambda: torch.log_softmax(x, 1),
            "LogSumExp": lambda: torch.logsumexp(x, 1),
            "LogProbs": lambda: F.log_softmax(x, 1).gather(1, index),
        }.get(name)
    if form == "SoftmaxLoss":
        weights = torch.full((classes,), 1 - alpha)
        weights[0] = alpha
        labels = labels.long()
        each = lambda z: softmax_focal_loss(z, labels, weights, gamma)
    elif form == "SigmoidLoss":
        targets = targets.view(rows, classes)
        each = lambda z: sigmoid_focal_loss(z, targets, alpha=alpha, gamma=gamma)
    elif form == "OneVsRestLoss":
        one_hot = F.one_hot(labels.long(), classes + 1)[:, :classes].float()  # not timed
        each = lambda z: sigmoid_focal_loss(z, one_hot, alpha=alpha, gamma=gamma).sum(1)
    else:
        return None
    if method == "Grad":
        z = x.clone().requires_grad_()

        def grad():
            z.grad = None
            each(z).sum().backward()
            return z.grad
        return grad
    if method == "Each":
        return lambda: each(x)
    return lambda: each(x).sum().view(1)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer

    def say(text):
        stdout.write(text.encode() + b"\n")
        stdout.flush()

    def receive(count, dtype):
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(stdin.read(4 * count)), dtype=dtype).clone()

    say("hello " + torch.__version__)
    run = None
    for line in stdin:
        command, *args = line.decode().split()
        if command == "prepare":
            rows, classes = int(args[1]), int(args[2])
            x = receive(rows * classes, torch.float32).view(rows, classes)
            labels = receive(int(args[6]), torch.int32)
            targets = receive(int(args[7]), torch.float32)
            run = bind(args[0], x, labels, targets, float(args[3]), float(args[4]), float(args[5]))
            say("no" if run is None else "ok %d" % run().numel())
        elif command == "time":
            for _ in range(int(args[0])):
                run()
            reps = range(int(args[1]))
            start = time.perf_counter_ns()
            for _ in reps:
                run()
            say(str(time.perf_counter_ns() - start))
        elif command == "result":
            stdout.write(bytes(run().detach().contiguous().numpy().tobytes()))
            stdout.flush()


main()
