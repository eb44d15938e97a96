import pytest

from fastrl.data import links
from fastrl.types import UserError


def test_links_out_of_a_folder_are_refused_and_links_inside_are_not(tmp_path):
    (tmp_path / "secret").write_text("x")
    run = tmp_path / "data" / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "a").write_text("a")
    (run / "b").symlink_to("a")
    (tmp_path / "run").symlink_to(run)  # the user's own way to the folder
    links.check(tmp_path / "run")
    for place, target in (("c", tmp_path / "secret"), ("checkpoints/20", tmp_path / "data"), ("d", "../../nowhere")):
        (run / place).symlink_to(target)
        with pytest.raises(UserError, match=f"{place} is a link out of the folder"):
            links.check(tmp_path / "run")
        (run / place).unlink()
