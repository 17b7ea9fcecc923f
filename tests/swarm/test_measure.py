"""What a merge brings, at a real peer: measured by the command on the base `mini`, kept, shown, and gone with it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.swarm.conftest import MakePeer, Peer

from plora.proto.errors import RefusedError, UsageError
from plora.v1 import admin_pb2 as pb

pytestmark = pytest.mark.slow
PLORA = Path(sys.executable).with_name("plora")
MINI = {"width": 160, "layers": 4}
"""Of the base `mini`, whose `q_proj` are square: what `signed_folder` makes of this size fits it."""


def plora(peer: Peer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PLORA), *arguments, "--home", str(peer.home.root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def merge_of(peer: Peer) -> Any:
    (merge,) = peer.call("Merges", pb.MergesRequest()).merges or [pb.MergeInfo()]
    return merge


def publish(peer: Peer, folder: Path, *names: str) -> None:
    """One adapter a name, which is its domain, and one generation each."""
    for name in names:
        peer.signed_folder(folder / name, seed=len(name), **MINI)
        peer.publish(folder / name)
        count = len(peer.plasmids())
        peer.until(lambda count=count: len(merge_of(peer).inputs) == count)  # type: ignore[misc]


def told(generation: int, value: float = 3.5, domain: str = "legal") -> pb.MeasuredRequest:
    """A report as `plora measure` gives it."""
    estimate = pb.Estimate(value=value, low=value - 1, high=value + 1)
    change = pb.Estimate(value=-90, low=-99, high=-80)
    found = pb.DomainMeasure(domain=domain, documents=200, base=estimate, after=estimate, change=change)
    measure = pb.Measure(generation=generation, domains=[found], by="ada@host", wall_ms=1_700_000_000_000)
    return pb.MeasuredRequest(base_model="mini", measure=measure)


def test_the_command_scores_reports_and_shows(make_peer: MakePeer, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ada = make_peer("ada")
    ada.start()
    none = plora(ada, "measure")
    assert (none.returncode, none.stderr) == (3, "plora: merged: nothing is merged; see `plora ls`\n")
    publish(ada, tmp_path, "poetry")
    strange = plora(ada, "measure")
    assert (strange.returncode, strange.stdout, strange.stderr.count("\n")) == (3, "", 1)
    assert "held-out answers for arithmetic, legal, medical only, not for poetry" in strange.stderr
    publish(ada, tmp_path, "legal")
    done = plora(ada, "measure", "mini", "--documents", "4")
    assert done.returncode == 0, done.stderr
    assert "Left out, since there are no held-out answers: poetry." in done.stderr
    heading, row = done.stdout.splitlines()
    assert heading.split()[:2] == ["domain", "answers"] and row.split()[:2] == ["legal", "4"]
    merge = merge_of(ada)
    (legal,) = merge.measure.domains
    assert (merge.measure.generation, merge.measure.before, legal.documents) == (2, 1, 4)
    for figure in (legal.base, legal.before, legal.after):
        assert 1 < figure.low <= figure.value <= figure.high and math.isfinite(figure.high)
    assert legal.change.value == pytest.approx(legal.after.value - legal.base.value)
    assert len({legal.base.value, legal.before.value, legal.after.value}) == 3, "three different models were scored"
    (record,) = ada.records("merge_measured")
    assert (record["generation"], record["before"], record["domains"]) == (2, 1, ["legal"])
    assert record["perplexity_before"] == [legal.before.value]
    assert f"measured by {merge.measure.by}, " in plora(ada, "status").stdout


def test_a_measure_stays_with_its_generation(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    publish(ada, tmp_path, "legal", "law")
    for generation in (1, 2):
        ada.call("Measured", told(generation, value=10.0 * generation))
    ada.call("Measured", told(2, value=25))
    shown: Callable[[], list[float]] = lambda: [one.after.value for one in merge_of(ada).measure.domains]  # noqa: E731
    assert shown() == [25]
    ada.call("Rollback", pb.RollbackRequest())
    assert (merge_of(ada).generation, shown()) == (1, [10])
    assert [one.domain for one in merge_of(ada).contributions] == ["legal"]
    ada.kill()
    ada.start()
    assert shown() == [10]
    ada.call("Rollback", pb.RollbackRequest(forward=True))
    assert shown() == [25]
    publish(ada, tmp_path, "medical")
    assert (merge_of(ada).generation, shown()) == (3, [])
    publish(ada, tmp_path, "code")
    assert [one.generation for one in merge_of(ada).kept] == [4, 3, 2]
    ada.until(lambda: not (ada.home.merged / "mini" / "gen-1").exists())
    with pytest.raises(RefusedError, match="generation 1 is no longer kept"):
        ada.call("Measured", told(1))
    (ada.home.merged / "mini" / "gen-2" / "measured.json").write_bytes(b"\xff{")
    assert ada.call("Rollback", pb.RollbackRequest()).generation == 3
    ada.call("Rollback", pb.RollbackRequest())
    assert (merge_of(ada).generation, shown()) == (2, []), "what can't be read counts as not measured"
    assert [record["generation"] for record in ada.records("merge_measured")] == [1, 2, 2]
    assert not ada.records("error")


def test_what_is_no_measure_is_refused(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.start()
    with pytest.raises(RefusedError, match="nothing is merged"):
        ada.call("Measured", told(1))
    publish(ada, tmp_path, "legal")
    with pytest.raises(UsageError, match="0 domains"):
        ada.call("Measured", pb.MeasuredRequest(base_model="mini", measure=pb.Measure(generation=1)))
    with pytest.raises(UsageError, match="no number"):
        ada.call("Measured", told(1, value=math.nan))
    assert not merge_of(ada).measure.domains and not ada.records("merge_measured")
    elsewhere = pb.MeasuredRequest(base_model="smollm2", measure=told(1).measure)
    with pytest.raises(UsageError, match="smollm2: nothing was merged of that base"):
        ada.call("Measured", elsewhere)


def test_measuring_says_what_it_lacks(make_peer: MakePeer, tmp_path: Path) -> None:
    """As in an environment without the extra `lab`: what its Python finds under the name torch is missing."""
    ada = make_peer("ada")
    ada.start()
    publish(ada, tmp_path, "legal")
    hollow = tmp_path / "hollow" / "torch"
    hollow.mkdir(parents=True)
    (hollow / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    command = [str(PLORA), "measure", "--json", "--home", str(ada.home.root)]
    environment = {"PATH": "", "PYTHONPATH": str(hollow.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    lacks = "measuring: No module named 'torch'; it comes with the extra `lab`: pip install 'plora[lab]'"
    assert done.stderr == f"plora: {lacks}\n"
    assert json.loads(plora(ada, "status", "--json").stdout)["merges"][0]["measure"]["domains"] == []
