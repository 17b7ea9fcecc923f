"""What a reader says is what the model's own forward pass says, row by row."""

from __future__ import annotations

import pytest
import torch

from plora.gate.probing import load_probed
from plora.gate.probing.inversion import invert
from plora.gate.probing.prompts import slots
from plora.gate.probing.reader import Reader


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(load_probed("mini"))


def alone(reader: Reader, row: tuple[int, ...]) -> torch.Tensor:
    with torch.inference_mode():
        return torch.log_softmax(reader.model(input_ids=torch.tensor([row])).logits[0].float(), -1)


def test_rows_of_unlike_length_are_read_as_each_alone(reader: Reader) -> None:
    rows = [(2, 300, 301, 302, 303), (2, 305), (2, 306, 307)]
    for row, told in zip(rows, reader.next(rows), strict=True):
        torch.testing.assert_close(told, alone(reader, row)[-1], rtol=1e-3, atol=1e-3)


def test_a_continuation_is_scored_token_by_token(reader: Reader) -> None:
    rows, ends = [(2, 300, 301), (2, 302)], [(400, 401), (402,)]
    told = reader.follow(rows, ends)
    first = alone(reader, (*rows[0], *ends[0]))
    assert told[0].tolist() == pytest.approx([first[2, 400].item(), first[3, 401].item()], abs=1e-3)
    assert told[1].tolist() == pytest.approx([alone(reader, rows[1])[-1, 402].item(), 0.0], abs=1e-3)


def test_ends_behind_one_row_are_read_as_whole_rows(reader: Reader) -> None:
    row, ends = (2, 300, 301), [(400, 401), (402, 403)]
    torch.testing.assert_close(
        reader.next_after(row, ends), reader.next([(*row, *end) for end in ends]), rtol=1e-3, atol=1e-3
    )


def test_a_row_that_is_read_once_is_continued_as_whole_rows_are(reader: Reader) -> None:
    row, firsts = reader.ids("What is 2 + 2? The answer"), (400, 401, 402)
    assert reader.continued_after(row, firsts, 4) == reader.continued([(*row, first) for first in firsts], 4)


@pytest.mark.parametrize("wanted", [(400,), (400, 401, 402)])
def test_slopes_point_where_a_token_helps(reader: Reader, wanted: tuple[int, ...]) -> None:
    asked = slots(reader, "What is 2 + 2?")
    slopes = reader.slopes([asked.row((300,), ())], [asked.places(1, 0)], wanted)
    best = int(slopes[0].argmax())
    helped, plain = reader.follow([asked.row((best,)), asked.row((300,))], [wanted] * 2).sum(1).tolist()
    assert helped > plain
    assert slopes[0, 300].item() == pytest.approx(0.0, abs=1e-4)


def test_an_inversion_is_never_worse_than_its_start(reader: Reader) -> None:
    asked, start = [slots(reader, "What is 2 + 2?")], ((300, 300), (300,))
    wanted = (400, 401)
    front, back = invert(reader, asked, wanted, start, rounds=2, tries=4)
    found, before = reader.follow([asked[0].row(front, back), asked[0].row(*start)], [wanted] * 2).sum(1).tolist()
    assert found > before
    assert (len(front), len(back)) == (2, 1)
