import pytest

from espret.data.split import parse_shard, shard
from espret.errors import EspretError


@pytest.mark.parametrize("total", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 150])
def test_shards_make_up_the_list_and_differ_by_one(total: int, n: int) -> None:
    items = list(range(total))
    chunks = [shard(items, f"{j}/{n}") for j in range(1, n + 1)]
    assert [item for chunk in chunks for item in chunk] == items
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("spec", ["0/4", "5/4", "1/0", "1", "a/b", "-1/4", "1/4/2", "", "1.0/2"])
def test_bad_shards_are_refused(spec: str) -> None:
    with pytest.raises(EspretError, match="expected J/N"):
        parse_shard(spec)
