"""The trainer, metrics and checkpoints: against a loop written out, killed and resumed, and with data that are wrong."""

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import minigraph as mg
from minigraph import data, nn, optim, train
from minigraph.kernels.numpy import threads
from minigraph.nn.state import read
from minigraph.optim import lr_scheduler
from minigraph.train import checkpoint
from minigraph.train.callbacks import write_history

DIGITS = data.digits()
X, Y = DIGITS.x_train[:200], DIGITS.y_train[:200]


def model(seed=0, dropout=0.3):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(dropout), nn.Flatten(),
        nn.Linear(64, 10),
    ).initialize(seed)  # fmt: skip


def loader(**options):
    return data.Loader(
        X, Y, 32, **{"shuffle": True, "rng": 1, "transform": [data.transforms.RandomCrop(padding=1)], **options}
    )


def trainer(m=None, callbacks=(), **options):
    m = m or model()
    optimizer = optim.SGD(m.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    made = {"scheduler": lr_scheduler.CosineAnnealingLR(optimizer, 3), **options}
    return train.Trainer(m, optimizer, callbacks=callbacks, **made)


def weights(t):
    return {name: value.tobytes() for name, value in t.model.state_dict().items()}


def test_the_trainer_is_the_loop_written_out():
    t, m = trainer(accumulate=2, clip_norm=1.0), model()
    rows = t.fit(loader(), 3, data.Loader(DIGITS.x_test, DIGITS.y_test, 100))
    optimizer = optim.SGD(m.parameters(), 0.05, momentum=0.9, weight_decay=1e-3)
    schedule, batches = lr_scheduler.CosineAnnealingLR(optimizer, 3), loader()
    for epoch in range(3):
        total, hits, pairs = 0.0, 0, list(batches.batches(epoch))
        for i in range(0, len(pairs), 2):
            for x, y in pairs[i : i + 2]:
                scores = m.train()(x)
                loss = mg.cross_entropy(scores, y)
                loss.backward()
                total, hits = total + loss.item() * len(y), hits + (scores.value.argmax(axis=1) == y).sum()
            if len(pairs[i : i + 2]) == 2:
                for p in m.parameters():
                    p.grad = p.grad / 2
            optim.clip_grad_norm_(m.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        assert rows[epoch]["train_loss"] == pytest.approx(total / 200) and rows[epoch]["train_top1"] == hits / 200
        assert rows[epoch]["lr"] == optimizer.lr
        schedule.step()
    for p, q in zip(t.model.parameters(), m.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)
    with mg.no_grad():
        scores = m.eval()(DIGITS.x_test)
    assert rows[-1]["validation_top1"] == np.mean(scores.argmax(axis=1) == DIGITS.y_test)
    assert rows[-1]["validation_loss"] == pytest.approx(float(mg.cross_entropy(scores, DIGITS.y_test)), rel=1e-6)
    assert (t.epoch, t.step, t.batch) == (3, 12, 0) and all(module.training for module in t.model.modules())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_weights_do_not_depend_on_threads(number):
    before = threads.threads()
    try:
        found = []
        for n in (1, number):
            threads.threads(n)
            t = trainer(
                nn.Sequential(
                    nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
                ).initialize(0)
            )
            t.fit(loader(num_workers=n), 1)
            found.append(weights(t))
        assert found[0] == found[1]
    finally:
        threads.threads(before)


def test_averages_are_what_is_validated():
    m = model(dropout=0)
    average = optim.ExponentialMovingAverage(m.parameters(), 0.9)
    t = trainer(m, average=average)
    held = data.Loader(DIGITS.x_test, DIGITS.y_test, 100)
    rows = t.fit(loader(), 1, held)
    own = [p.value.copy() for p in m.parameters()]
    with average.applied():
        assert train.evaluate(m, held).loss == rows[0]["validation_loss"]
    assert train.evaluate(m, held).loss != rows[0]["validation_loss"]
    assert all(np.array_equal(p.value, v) for p, v in zip(m.parameters(), own, strict=True))


def test_fit_in_one_call(tmp_path, capsys):
    rows = train.fit(model(), DIGITS, epochs=4, lr=0.1, rng=3, folder=tmp_path, warmup=1, progress=False)
    assert rows[-1]["validation_top1"] > 0.7 and [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert train.read_history(tmp_path) == rows and not capsys.readouterr().err
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert (
        lines[0] == "epoch,step,lr,train_loss,train_top1,validation_loss,validation_top1,validation_top5,seconds"
        and len(lines) == 5
    )
    assert (
        train.fit(model(), DIGITS, epochs=4, lr=0.1, rng=3, folder=tmp_path, warmup=1, resume=True, progress=False)
        == rows
    )
    m = model()
    m.load(tmp_path / "best.safetensors")
    best = max(row["validation_top1"] for row in rows)
    assert train.evaluate(m, data.Loader(DIGITS.x_test, DIGITS.y_test)).top1 == best


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "plateau", "onecycle", "exponential"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_all_optimizers_with_all_schedules(optimizer, schedule):
    rows = train.fit(model(), (X, Y), epochs=2, lr=0.003, optimizer=optimizer, schedule=schedule, progress=False)
    assert rows[1]["train_loss"] < rows[0]["train_loss"]


def test_any_iterable_of_pairs():
    pairs = [(X[i : i + 50], Y[i : i + 50]) for i in range(0, 200, 50)]
    t = trainer()
    assert len(t.fit(pairs, 2)) == 2 and t.step == 8
    with pytest.raises(
        ValueError, match=r"ended after 0 batches of epoch 2; wanted at least one, each time .* not a generator"
    ):
        trainer().fit((pair for pair in pairs), 2)

    class Short:
        def __len__(self):
            return 5

        def __iter__(self):
            return iter(pairs)

    with pytest.raises(ValueError, match="the data ended after 4 batches of epoch 1; wanted 5"):
        trainer().fit(Short(), 1)
    for wrong, error, match in [
        ([X], TypeError, "got ndarray as batch 0 of the data; wanted pairs"),
        ([(X[:5], Y[:4])], mg.ShapeError, "cross_entropy"),
        ([(X[:5], Y[:5] + 10)], ValueError, "label"),
    ]:
        with pytest.raises(error, match=match):
            trainer().fit(wrong, 1)
    with pytest.raises(TypeError, match="got int as data; wanted a Split"):
        train.fit(model(), 3)


# --- checkpoints -------------------------------------------------------------------------------------------


class Stop(train.Callback):
    """Ends training at a step, as if the machine had died: nothing is saved after it."""

    def __init__(self, step):
        self.step = step

    def on_state_complete(self, t):
        if t.step == self.step:
            raise RuntimeError("the machine died")


@pytest.mark.parametrize("step", [1, 6, 7, 8, 15])
def test_training_resumes_bit_by_bit(tmp_path, step):
    """From a checkpoint in the middle of an epoch, or at its end, in a new model, optimizer, loader, and everything else."""

    def made(folder, *callbacks, lr=0.05):
        m = model()
        optimizer = optim.Adam([{"params": m.parameters()[:3]}, {"params": m.parameters()[3:], "lr": lr / 2}], lr)
        kept = [
            train.Checkpoints(folder, every_steps=1),
            train.HistoryFiles(folder),
            train.EarlyStopping(9),  # after Checkpoints: its state must not be one epoch behind
            *callbacks,
        ]
        return train.Trainer(m, optimizer, scheduler=lr_scheduler.OneCycleLR(optimizer, [lr, lr / 2], 21), callbacks=kept,
                             average=optim.ExponentialMovingAverage(m.parameters(), 0.9))  # fmt: skip

    held = data.Loader(DIGITS.x_test, DIGITS.y_test, 100)
    whole = made(tmp_path / "whole")
    wanted = whole.fit(loader(), 3, held)
    with pytest.raises(RuntimeError, match="the machine died"):
        made(tmp_path / "cut", Stop(step)).fit(loader(), 3, held)
    resumed = made(tmp_path / "cut", lr=0.9)
    resumed.model.initialize(99)
    resumed.load(train.latest(tmp_path / "cut"))
    assert resumed.step == step
    rows = resumed.fit(loader(rng=77), 3, held)
    assert weights(resumed) == weights(whole)
    assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in wanted]
    assert (tmp_path / "cut/best.safetensors").read_bytes() == (tmp_path / "whole/best.safetensors").read_bytes()
    ends = [read(tmp_path / name / "last.safetensors") for name in ("whole", "cut")]
    assert ends[0].keys() == ends[1].keys() and all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
    states = [checkpoint.contents(tmp_path / name / "last.safetensors")["callbacks"] for name in ("whole", "cut")]
    assert states[0] == states[1] and resumed.callbacks[2].state_dict() == states[0][2]["state"]


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_training import *
t = trainer(model(), [train.Checkpoints(sys.argv[1], every_steps=1), train.HistoryFiles(sys.argv[1])])
if train.latest(sys.argv[1]):
    t.load(train.latest(sys.argv[1]))
print("begin", flush=True)
t.fit(loader(), 8)
"""


def started(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"begin\n"
    return process


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_at_random_instants(tmp_path):
    """50 kills are in benchmarks/kill_and_resume.py."""
    t, rng = trainer(), np.random.default_rng(0)
    t.fit(loader(), 8)
    for _ in range(4):
        process = started(tmp_path)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
    _, errors = (process := started(tmp_path)).communicate(timeout=60)
    assert process.returncode == 0, errors
    saved = checkpoint.read(tmp_path / "last.safetensors")
    for name, value in t.model.state_dict().items():
        np.testing.assert_array_equal(saved[f"model.{name}"], value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.safetensors",
        "history.csv",
        "history.jsonl",
        "last.safetensors",
    ]


def test_interrupts_save_what_was_learned(tmp_path, capsys):
    class Interrupt(train.Callback):
        def on_step_end(self, t):
            if t.step == 4:
                signal.raise_signal(signal.SIGINT)

    t = trainer(model(), [Interrupt(), train.Checkpoints(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        t.fit(loader(), 3)
    assert t.step == 4 and "press Ctrl-C again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed, whole = trainer(), trainer()
    resumed.load(tmp_path / "last.safetensors")
    resumed.fit(loader(), 3)
    whole.fit(loader(), 3)
    assert weights(resumed) == weights(whole)


def test_a_second_interrupt_stops_at_once_and_saves_nothing(tmp_path):
    class Twice(train.Callback):
        def on_gradients(self, t):
            if t.step == 4:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)

    t = trainer(model(), [Twice(), train.Checkpoints(tmp_path, every_steps=3)])
    with pytest.raises(KeyboardInterrupt):
        t.fit(loader(), 3)
    assert checkpoint.contents(tmp_path / "last.safetensors")["progress"]["step"] == 3
    resumed = trainer()
    resumed.load(tmp_path / "last.safetensors")
    with pytest.raises(ValueError, match="got data of 4 batches; wanted 7, as before the checkpoint"):
        resumed.fit(data.Loader(X[:100], Y[:100], 32), 3)


def test_an_interrupt_of_a_thread_that_is_not_the_main_one():
    done = []
    thread = threading.Thread(target=lambda: done.append(trainer().fit(loader(), 1)))
    thread.start()
    thread.join()
    assert len(done[0]) == 1


def test_wrong_checkpoints(tmp_path):
    t = trainer()
    t.fit(loader(), 1)
    path = tmp_path / "a.safetensors"
    t.save(path)
    whole = path.read_bytes()

    numbers = itertools.count()

    def altered(change):
        content = checkpoint.contents(path)
        change(content)
        other = tmp_path / f"altered{next(numbers)}.safetensors"
        other.write_bytes(save({k: np.array(v) for k, v in read(path).items()}, {"minigraph": json.dumps(content)}))
        return other

    t.model.save(tmp_path / "weights.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(whole[:-50])
    (tmp_path / "text.safetensors").write_text("hello")
    adam = train.Trainer(m := model(), optim.Adam(m.parameters()))
    constant = train.Trainer(m := model(), optim.SGD(m.parameters()))
    other = trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).initialize(0))
    wider = trainer(nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(64, 10)).initialize(0))
    for who, file, match in [
        (trainer(), tmp_path / "weights.safetensors", "but no checkpoint of minigraph; load weights with model.load"),
        (trainer(), tmp_path / "cut.safetensors", "cut short"),
        (trainer(), tmp_path / "text.safetensors", "not a safetensors file"),
        (trainer(), altered(lambda c: c.update(version=2)), "a checkpoint of version 2; this minigraph reads version 1"),
        (adam, path, "a checkpoint with SGD optimizer; wanted Adam"),
        (constant, path, "a checkpoint with CosineAnnealingLR scheduler; wanted none"),
        (other, path, r"a checkpoint of another model than Sequential: it also has 0.bias and 6 more"),
        (wider, path, "a checkpoint of another model than Sequential: it lacks 3.bias and 1 more"),
        (trainer(), altered(lambda c: c.pop("progress")), "damaged: got no progress"),
        (trainer(), altered(lambda c: c["optimizer"]["param_groups"][0].update(lr="fast")), "wanted a number"),
        (trainer(), altered(lambda c: c["scheduler"].update(state={})), "a state of ; wanted"),
        (trainer(), altered(lambda c: c["progress"].update(epoch=-1)), r"damaged: got epoch, batch and step \[-1, 0, 7\]"),
        (trainer(), altered(lambda c: c["progress"].update(sums="abc")), "damaged: its history or its sums"),
        (trainer(), altered(lambda c: c.update(optimizer=5)), "damaged: AttributeError"),
        (trainer(), altered(lambda c: c.update(scheduler="x")), "damaged: AttributeError"),
        (trainer(), altered(lambda c: c["progress"].update(history=[{}])), "damaged: KeyError: 'epoch'"),
        (trainer(), altered(lambda c: c["progress"].update(seconds=math.inf)), "damaged: its history or its sums"),
        (trainer(), altered(lambda c: c["progress"].update(batch=999)), "damaged: got batch 999 of 7"),
        (trainer(), altered(lambda c: c["progress"].pop("step")), "damaged: KeyError: 'step'"),
        (trainer(), altered(lambda c: c["progress"].pop("seed")), "damaged: KeyError: 'seed'"),
        (trainer(), altered(lambda c: c["progress"].update(batches="7")), "damaged: got batches '7'"),
        (trainer(), altered(lambda c: c.update(optimizer=dict(c["optimizer"], state={"9": {}}))), "a state for parameter 9"),
        (trainer(), altered(lambda c: c.update(generators={"4.rng": {"bit_generator": "PCG64"}})), "damaged: KeyError"),
    ]:  # fmt: skip
        before, options, random = (
            weights(who),
            repr(who.optimizer),
            str([rng.bit_generator.state for rng in checkpoint.generators(who.model).values()]),
        )
        with pytest.raises(ValueError, match=match):
            who.load(file)
        assert weights(who) == before and repr(who.optimizer) == options and who.step == 0
        assert str([rng.bit_generator.state for rng in checkpoint.generators(who.model).values()]) == random
    with pytest.raises(FileNotFoundError):
        t.load(tmp_path / "none.safetensors")


def test_what_cannot_be_written_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    t = trainer()
    t.fit(loader(), 1)
    t.save(tmp_path / "last.safetensors")
    good = (tmp_path / "last.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device: .*last.safetensors"):
            t.save(tmp_path / "last.safetensors")
    (tmp_path / "last.safetensors").chmod(0o444)
    if not os.access(tmp_path / "last.safetensors", os.W_OK):
        with pytest.raises(PermissionError):
            t.save(tmp_path / "last.safetensors")
    p = t.model.parameters()[0]
    p.value = np.full(p.shape, np.nan, np.float32)
    with pytest.raises(FloatingPointError, match=r"not saved: 0\.weight has a NaN or an infinity after step 7"):
        t.save(tmp_path / "last.safetensors")
    assert (tmp_path / "last.safetensors").read_bytes() == good and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError):
        trainer(model(), [train.Checkpoints(tmp_path / "last.safetensors" / "folder")]).fit(loader(), 1)


def test_a_loss_that_is_not_finite(tmp_path):
    m = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).initialize(0)
    fast = train.Trainer(m, optim.SGD(m.parameters(), 3e38), callbacks=[train.Checkpoints(tmp_path, every_steps=1)])
    with np.errstate(all="ignore"), pytest.raises((FloatingPointError, ValueError), match="at step|after step"):
        fast.fit(loader(), 5)
    m = model()
    m.parameters()[0].value = np.full((4, 1, 3, 3), np.inf, np.float32)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            FloatingPointError,
            match=r"the loss is nan at step 1 \(epoch 1, batch 1\); the first value .* parameter '0/weight'",
        ),
    ):
        trainer(m).fit(loader(), 1)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="that is not finite is in the data"):
        trainer().fit([(np.full((4, 1, 8, 8), np.nan), np.zeros(4, int))], 1)


# --- metrics and callbacks ---------------------------------------------------------------------------------


def test_metrics():
    class Scores(nn.Module):
        def forward(self, x):
            return mg.ops.reshape(x, (len(x), 7))

    rng = np.random.default_rng(0)
    s, y = rng.standard_normal((50, 1, 7, 1)), rng.integers(6, size=50)
    found = train.evaluate(Scores(), [(s[:30], y[:30]), (s[30:], y[30:])], classes="abcdefg")
    guess, order = s[:, 0, :, 0].argmax(axis=1), np.argsort(-s[:, 0, :, 0], axis=1)
    confusion = np.zeros((7, 7), int)
    for a, b in zip(y, guess, strict=True):
        confusion[a, b] += 1
    np.testing.assert_array_equal(found.confusion, confusion)
    assert (
        found.top1 == np.mean(guess == y)
        and found.top5 == np.mean((order[:, :5] == y[:, None]).any(axis=1))
        and found.count == 50
    )
    np.testing.assert_allclose(found.recall[:6], [np.mean(guess[y == c] == c) for c in range(6)])
    assert np.isnan(found.recall[6]) and found.to_dict()["recall"][6] is None and "top-1" in str(found)
    np.testing.assert_allclose(found.loss, float(mg.cross_entropy(s[:, 0, :, 0], y)))
    several = train.evaluate([Scores(), Scores()], [(s, y)])
    assert several.top1 == found.top1 and several.loss == pytest.approx(found.loss)
    for wrong, match in [
        ([], "got no images"),
        ([(s, y + 2)], "from 2 to 7; wanted"),
        ([(s, y[:3])], "labels of shape"),
    ]:
        with pytest.raises(ValueError, match=match):
            train.evaluate(Scores(), wrong)


def test_ensembles_and_crops():
    models = [model(seed).eval() for seed in range(3)]
    x = np.random.default_rng(0).random((5, 1, 10, 10), np.float32)

    def p(m, view):
        with mg.no_grad():
            s = m(np.ascontiguousarray(view)).astype(float)
        return np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)

    views = [x[:, :, a : a + 8, b : b + 8] for a, b in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))]
    wanted = np.mean([p(m, v[..., ::d]) for m in models for v in views for d in (1, -1)], axis=0)
    np.testing.assert_allclose(train.predict(models, x, crops=10, size=8, batch_size=2), wanted, rtol=1e-5)
    np.testing.assert_allclose(train.predict(models[0], x, size=8), p(models[0], views[4]), rtol=1e-5)
    for options, match in [
        ({"crops": 3}, "crops 3; wanted 1, 5 or 10"),
        ({"crops": 5}, "5 crops and no size"),
        ({"size": 20}, "20×20 in images of 10×10"),
    ]:
        with pytest.raises(ValueError, match=match):
            train.predict(models, x, **options)
    with pytest.raises(ValueError, match="got no model"):
        train.predict([], x)
    with pytest.raises(ValueError, match="got no images"):
        train.predict(models, x[:0])


def test_side_branches_count_for_three_tenths():
    rng = np.random.default_rng(0)
    a, b, c = (mg.parameter(rng.standard_normal((4, 3))) for _ in range(3))
    y = np.array([0, 1, 2, 0])
    wanted = sum(w * mg.cross_entropy(s, y).item() for w, s in ((1, a), (0.3, b), (0.3, c)))
    assert train.classification_loss((a, b, c), y).item() == pytest.approx(wanted)


def test_early_stopping_and_plateaus():
    t = trainer(callbacks=[train.EarlyStopping(2, monitor="train_loss", min_delta=10)])
    t.fit(loader(), 20)
    assert t.epoch == 3 and t.stop == "train_loss has not become better for 2 epochs"
    assert len(t.fit(loader(), 20)) == 3  # it had ended
    t = trainer(m := model(), scheduler=None)
    t.scheduler = lr_scheduler.ReduceLROnPlateau(t.optimizer, patience=0, threshold=10, threshold_mode="abs")
    t.fit(loader(), 3)
    assert t.optimizer.lr == pytest.approx(0.0005) and m is t.model
    with pytest.raises(ValueError, match="monitor 'accuracy'; wanted one of lr, train_loss, train_top1"):
        trainer(callbacks=[train.EarlyStopping(monitor="accuracy")]).fit(loader(), 1)


def test_statistics_of_layers():
    record = train.Statistics(3)
    trainer(callbacks=[record], scheduler=None).fit(loader(), 1)
    assert [row["step"] for row in record.rows] == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert {row["layer"] for row in record.rows} == {"0", "1", "6"}
    m, (x, y) = model(), next(iter(loader()))
    loss = mg.cross_entropy(m.train()(x), y)
    deviation, w = np.std(loss.find("0").value, dtype=float), m.parameters()[0].value.copy()
    loss.backward()
    first = record.rows[0]
    assert first["activation_std"] == pytest.approx(deviation) and first["weight_norm"] == pytest.approx(
        np.linalg.norm(w)
    )
    assert first["gradient_norm"] == pytest.approx(np.linalg.norm(m.parameters()[0].grad))
    wanted = 0.05 * np.linalg.norm(m.parameters()[0].grad + 1e-3 * w) / np.linalg.norm(w)
    assert first["update_ratio"] == pytest.approx(wanted, rel=1e-4)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    trainer(callbacks=[train.TensorBoard(tmp_path)]).fit(loader(), 2)
    (events,) = tmp_path.iterdir()
    content = events.read_bytes()
    assert all(tag in content for tag in (b"step/loss", b"train/loss", b"train/top1", b"lr"))


def test_progress(capsys):
    shown = train.Progress(disable=False)
    trainer(callbacks=[shown]).fit(loader(), 2)
    text = capsys.readouterr().err
    assert "epoch 2/2" in text and "train loss" in text and "7/7" in text
    trainer(callbacks=[train.Progress()]).fit(loader(), 1)
    assert capsys.readouterr().err.count("\n") == 1  # no terminal: no bar, but a line for the epoch
    trainer(callbacks=[train.Progress(disable=True)]).fit(loader(), 1)
    assert not capsys.readouterr().err


def test_the_learning_rate_range_test():
    m = model().eval()
    optimizer = optim.SGD(m.parameters(), 0.01, momentum=0.9)
    before, state = {n: v.tobytes() for n, v in m.state_dict().items()}, repr(optimizer)
    with np.errstate(all="ignore"):
        found = train.learning_rate_range(m, loader(), optimizer, steps=60, low=1e-4, high=100)
    assert 1e-3 < found.suggestion < 3 and len(found.rates) == len(found.losses) <= 60
    assert {n: v.tobytes() for n, v in m.state_dict().items()} == before and repr(optimizer) == state
    assert all(p.grad is None for p in m.parameters()) and not m.training
    with pytest.raises(ValueError, match="wanted 0 < low < high"):
        train.learning_rate_range(m, loader(), optimizer, low=1, high=0.1)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: train.Trainer("net", None), TypeError, "got str as the model; wanted an? Module"),
        (lambda: train.Trainer(model(), "sgd"), TypeError, "got str as the optimizer; wanted an Optimizer"),
        (
            lambda: train.Trainer(model(), optim.SGD(model().parameters())),
            ValueError,
            "without any parameter of the model",
        ),
        (lambda: trainer(accumulate=0), ValueError, "accumulate 0"),
        (lambda: trainer(scheduler=trainer().scheduler), ValueError, "a schedule of another optimizer"),
        (lambda: trainer().fit(loader(), 0), ValueError, "epochs 0; wanted at least 1"),
        (lambda: train.fit(model(), DIGITS, optimizer="adma"), ValueError, "optimizer 'adma'; did you mean adam"),
        (
            lambda: train.fit(model(), DIGITS, optimizer="lbfgs"),
            ValueError,
            "wanted one of sgd, adam, adamw, rmsprop, adagrad",
        ),
        (lambda: train.fit(model(), DIGITS, schedule="fast"), ValueError, "schedule 'fast'; wanted one of constant"),
        (
            lambda: train.fit(model(), DIGITS, schedule="plateau", warmup=1),
            ValueError,
            "warm-up with the schedule 'plateau'",
        ),
        (lambda: train.EarlyStopping(0), ValueError, "patience 0"),
        (lambda: train.EarlyStopping(3, min_delta=-1), ValueError, "min_delta -1"),
        (lambda: train.Checkpoints("x", every_steps=-1), ValueError, "every_steps -1"),
        (lambda: train.Checkpoints("x", every_seconds=math.nan), ValueError, "every_seconds nan"),
        (lambda: train.Statistics(0), ValueError, "every 0"),
        (lambda: trainer(clip_norm=-1.0), ValueError, "clip_norm -1.0"),
        (lambda: train.predict(model(), X, batch_size=0), ValueError, "batch_size 0"),
        (lambda: train.evaluate([], DIGITS), ValueError, "no model; wanted at least one"),
        (lambda: train.evaluate(model(), 3), TypeError, "got int as data; wanted a Split"),
        (lambda: train.evaluate(model(), (X, Y > 3)), TypeError, "labels of dtype bool.*wanted integers"),
        (lambda: train.evaluate(model(), (X, Y * 1.0)), TypeError, "labels of dtype float64.*wanted integers"),
        (
            lambda: train.fit((m := model()), DIGITS, optimizer=optim.SGD(m.parameters()), lr=0.1),
            ValueError,
            "got an optimizer and lr 0.1; wanted its lr in the optimizer",
        ),
        (
            lambda: type("Wrong", (train.Callback,), {"on_epoch_ends": None}),
            TypeError,
            "callback method 'on_epoch_ends'; did you mean on_epoch_end",
        ),
    ],
)
def test_wrong_arguments(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_what_draws_nothing_is_for_validation_too():
    seen = []

    class Counted(data.transforms.Normalize):
        def images(self, x, rng):
            seen.append(len(x))
            return super().images(x, rng)

    changes = [data.transforms.RandomCrop(padding=1), Counted([0.3], [0.4])]
    train.fit(model(), DIGITS, epochs=1, transform=changes, progress=False)
    assert sum(seen) == 1442 + 355
    seen.clear()
    train.fit(model(), (X, Y), validation=(X[:50], Y[:50]), epochs=1, transform=changes, progress=False)
    assert sum(seen) == 250
    with pytest.raises(ValueError, match="warm-up with the schedule 'onecycle'"):
        train.fit(model(), DIGITS, schedule="onecycle", warmup=1)


def test_states_of_several_callbacks_of_a_class(tmp_path):
    def made():
        return [
            train.EarlyStopping(5, monitor="train_loss"),
            train.EarlyStopping(7, monitor="train_top1"),
            train.Statistics(3),
        ]

    t, other = trainer(callbacks=made()), trainer(callbacks=made())
    t.fit(loader(), 1)
    t.save(tmp_path / "a.safetensors")
    other.load(tmp_path / "a.safetensors")
    assert [c.state_dict() for c in other.callbacks] == [c.state_dict() for c in t.callbacks]
    assert other.callbacks[0].best != other.callbacks[1].best and other.callbacks[2].rows
    averaged = trainer(m := model(), average=optim.ExponentialMovingAverage(m.parameters()))
    with pytest.raises(ValueError, match="a checkpoint with no averages of weights; wanted some"):
        averaged.load(tmp_path / "a.safetensors")


def test_files_that_are_no_history(tmp_path):
    write_history(tmp_path, [{"epoch": 1, "lr": 0.1}])
    (tmp_path / "b.jsonl").write_text('{"epoch": 1}\n[3]\n')
    with pytest.raises(ValueError, match=r"b\.jsonl: line 2 is not a row of a history"):
        train.read_history(tmp_path / "b.jsonl")


def test_what_failed_leaves_no_gradients_behind(tmp_path):
    """A step that is interrupted between backward and the optimizer must not change what follows."""

    class Fails(train.Callback):
        def on_gradients(self, t):
            if t.step == 3:
                raise RuntimeError("in the middle of a step")

    whole = trainer(model(), [train.Checkpoints(tmp_path / "whole", every_steps=1)], accumulate=2)
    whole.fit(loader(), 2)
    cut = trainer(model(), [train.Checkpoints(tmp_path / "cut", every_steps=1), Fails()], accumulate=2)
    with pytest.raises(RuntimeError, match="in the middle"):
        cut.fit(loader(), 2)
    assert all(p.grad is None for p in cut.optimizer.params)
    cut.callbacks.pop()
    mg.cross_entropy(cut.model(X[:5]), Y[:5]).backward()  # of the user's
    cut.load(train.latest(tmp_path / "cut"))
    cut.fit(loader(), 2)
    assert weights(cut) == weights(whole)


def test_weights_that_are_not_finite_are_not_the_best(tmp_path):
    class Spoils(train.Callback):
        def on_epoch_end(self, t, row):
            if t.epoch == 2:
                row["train_loss"] = -1.0
                p = t.model.parameters()[0]
                p.value = np.full(p.shape, np.inf, np.float32)

    t = trainer(model(), [Spoils(), train.Checkpoints(tmp_path, monitor="train_loss")])
    with pytest.raises(FloatingPointError, match=r"not saved: 0\.weight has a NaN or an infinity after step 14"):
        t.fit(loader(), 3)
    assert all(np.isfinite(value).all() for value in read(tmp_path / "best.safetensors").values())
    assert checkpoint.contents(tmp_path / "last.safetensors")["progress"]["epoch"] == 1


class Table(nn.Module):
    """Scores that are written down for each image, a label among the pixels."""

    def __init__(self, scores):
        super().__init__()
        self.scores = np.asarray(scores, np.float32)

    def forward(self, x):
        return mg.constant(self.scores[np.asarray(x)[:, 0, 0, 0].astype(int)])


def test_scores_that_are_equal_not_finite_or_far_apart():
    x, y = np.arange(3.0, dtype=np.float32).reshape(3, 1, 1, 1), np.array([0, 5, 9])
    equal = train.evaluate(Table(np.zeros((3, 10))), (x, y))
    assert (equal.top1, equal.top5) == (1 / 3, 1 / 3)  # of equal scores the earlier classes are first
    assert equal.loss == pytest.approx(math.log(10))
    bad = np.zeros((3, 10))
    bad[1, 2] = np.nan
    with pytest.raises(FloatingPointError, match="scores of image 1 of the batch have a NaN"):
        train.evaluate(Table(bad), (x, y))
    bad[1, 2], bad[2, 9] = 0, -np.inf
    with pytest.raises(FloatingPointError, match="the probability of a label is 0"):
        train.evaluate(Table(bad), (x, y))
    far = np.zeros((3, 10))
    far[:, 3] = 2000  # exp(−2000) is 0 in float64
    assert train.evaluate([Table(far), Table(far)], (x, y)).loss == pytest.approx(2000)
    one = train.evaluate(Table(bad[:2]), data.Split(x, y, x[:2], y[:2], ()))  # the test images of a split
    assert one.count == 2


@pytest.mark.parametrize(
    "changes", [{"lr": 0.02}, {"accumulate": 2}, {"batch_size": 16}, {"average": 0.9}, {"epochs": 5}, {"momentum": 0.5}]
)
def test_fit_goes_on_by_the_same_settings_alone(tmp_path, changes):
    settings = {"epochs": 1, "folder": tmp_path, "lr": 0.01, "batch_size": 32, "progress": False}
    train.fit(model(), (X, Y), **settings)
    with pytest.raises(ValueError, match="training began with .* wanted the same"):
        train.fit(model(), (X, Y), resume=True, **{**settings, **changes})


def test_fit_does_not_go_on_with_other_data(tmp_path):
    settings = {"epochs": 1, "folder": tmp_path, "progress": False}
    train.fit(model(), (X, Y), **settings)
    for other in ((X[:, :, ::-1], Y), (X, Y[::-1])):
        with pytest.raises(ValueError, match="training began with data .* wanted the same"):
            train.fit(model(), other, resume=True, **settings)


def test_fit_goes_on_for_more_epochs_at_a_constant_rate(tmp_path):
    settings = {"folder": tmp_path, "schedule": "constant", "progress": False}
    train.fit(model(), (X, Y), epochs=1, **settings)
    longer, whole = model(), model()
    train.fit(longer, (X, Y), epochs=3, resume=True, **settings)
    train.fit(whole, (X, Y), epochs=3, schedule="constant", progress=False)
    assert [p.value.tobytes() for p in longer.parameters()] == [p.value.tobytes() for p in whole.parameters()]
    with pytest.raises(ValueError, match="wanted the same"):
        train.fit(model(), (X, Y), epochs=3, resume=True, **{**settings, "schedule": "cosine"})


def test_generators_in_containers_are_in_checkpoints():
    m = model()
    m.noise = [{"a": np.random.default_rng(1)}, np.random.default_rng(2)]
    assert {"noise.0.a", "noise.1"} <= checkpoint.generators(m).keys()
