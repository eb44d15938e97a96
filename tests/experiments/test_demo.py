import pytest
from PIL import Image

from fastrl.experiments import demo
from fastrl.types import UserError


@pytest.mark.slow
def test_a_tiny_demo_draws_its_picture_and_goes_on(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "DATA", {**demo.DATA, "steps": 400})
    monkeypatch.setattr(demo, "PRETRAIN_STEPS", 20)
    monkeypatch.setattr(demo, "ONLINE", {"steps": 700, "eval_every": 100, "eval_episodes": 2})
    monkeypatch.setattr(demo, "ARMS", {name: demo.ARMS[name] for name in ("wsrl", "new-critics")})
    monkeypatch.setattr(demo, "CLAIMS", demo.CLAIMS[:1])
    out = tmp_path / "demo"
    text = demo.demo(out, seeds=1, resume=False)
    assert all(name in text for name in demo.ARMS) and demo.CAPTION in text
    assert f"| {demo.CLAIMS[0].sentence} | {demo.ENV} | 1 |" in text
    with Image.open(out / "demo.png") as picture:
        assert picture.size == (1600, 900)
    assert "demo.png" in (out / "demo.md").read_text()
    with pytest.raises(UserError, match="--resume"):
        demo.demo(out, seeds=1, resume=False)
    before = (out / "wsrl" / "metrics.jsonl").read_bytes()
    assert demo.demo(out, seeds=1, resume=True) == text
    assert (out / "wsrl" / "metrics.jsonl").read_bytes() == before
