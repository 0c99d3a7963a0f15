"""What Spark writes is compared by what is in it, for its files have other names in every run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amltool.commands.spark_parts import CHECKSUMS, paired_parts

FIRST, SECOND, THIRD = (f"{digit * 8}-f386-49e5-8b18-1a54e5642c58" for digit in "123")


def part(job: str, number: int = 0, folder: str = "outputs/counts") -> str:
    return f"{folder}/part-{number:05}-{job}-c000.csv"


def test_a_part_has_the_name_of_the_original() -> None:
    was, now, aside = paired_parts({part(FIRST): "a", "outputs/x": "x"}, {part(SECOND): "a", "outputs/x": "x"})

    assert was == now == {part(FIRST): "a", "outputs/x": "x"}
    [sentence] = aside
    assert sentence.startswith(f"{part(SECOND)} is {part(FIRST)} in the original")


def test_parts_of_several_jobs_are_paired_by_content_first() -> None:
    was, now, _ = paired_parts(
        {part(FIRST): "a", part(SECOND): "b"}, {part(THIRD): "b", part(THIRD.replace("3", "4")): "c"}
    )

    assert was == {part(FIRST): "a", part(SECOND): "b"}
    assert now == {part(FIRST): "c", part(SECOND): "b"}


def test_a_part_of_another_number_folder_or_form_stays_what_it_is() -> None:
    now = {part(SECOND, 1): "a", part(SECOND, 0, "outputs/other"): "a", "outputs/counts/part-1.csv": "a"}

    assert paired_parts({part(FIRST): "a"}, now) == ({part(FIRST): "a"}, now, [])


def test_checksums_that_one_kind_of_machine_keeps_are_set_aside() -> None:
    file, beside = part(FIRST), part(FIRST).replace("part-", ".part-") + ".crc"
    lonely = "outputs/counts/.lonely.crc"

    was, now, aside = paired_parts({file: "a", beside: "c", lonely: "d"}, {part(SECOND): "a"})

    assert was == {file: "a", lonely: "d"}
    assert now == {file: "a"}
    assert CHECKSUMS in aside


NAMES = st.sampled_from(
    [part(FIRST), part(SECOND), part(THIRD, 1), "outputs/counts/_SUCCESS", "outputs/.x.crc", "outputs/x"]
)
OUTPUTS = st.dictionaries(NAMES, st.sampled_from("ab"))


@given(OUTPUTS, OUTPUTS)
def test_no_difference_is_lost(was: dict[str, str], now: dict[str, str]) -> None:
    before, after, _ = paired_parts(was, now)

    def contents(outputs: dict[str, str]) -> list[str]:
        return sorted(digest for path, digest in outputs.items() if not path.endswith(".crc"))

    assert contents(before) == contents(was)
    assert contents(after) == contents(now)
