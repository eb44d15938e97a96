"""A repository of the Hugging Face Hub by its address, `hf://USER/NAME` or `hf://datasets/USER/NAME`.

Files go there and come back by the Hub's own client, which keeps what it fetched, so that `HF_HUB_OFFLINE=1` answers
from there. Whatever goes wrong is said in one line.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal

from fastrl.errors import Failure, UserError, told

Kind = Literal["model", "dataset"]
EXAMPLES = "write hf://USER/NAME for an agent, hf://datasets/USER/NAME for a dataset"


@dataclasses.dataclass(frozen=True)
class Place:
    """A repository, and the branch, tag or commit of it that is asked for."""

    kind: Kind
    repository: str  # USER/NAME
    revision: str | None = None  # none is its main branch

    @property
    def name(self) -> str:
        """The repository's own name, without its user's."""
        return self.repository.partition("/")[2]

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"hf://{'datasets/' if self.kind == 'dataset' else ''}{self.repository}{revision}"


def find(address: str) -> Place:
    """The place of an address; raises `UserError` where it is none, or where the Hub's client is missing."""
    if not address.startswith("hf://"):
        raise UserError(f"{address!r} is no address on the Hub; {EXAMPLES}")
    _client()
    from huggingface_hub.errors import HfUriError
    from huggingface_hub.utils import parse_hf_uri

    try:
        found = parse_hf_uri(address)
    except HfUriError as error:
        raise UserError(f"{address!r} is no address on the Hub ({error.msg.rstrip('.')}); {EXAMPLES}") from error
    if found.type not in ("model", "dataset") or found.path_in_repo:
        raise UserError(f"{address!r} names no whole repository of a model or a dataset; {EXAMPLES}")
    return Place(found.type, found.id, found.revision)


def send(place: Place, folder: Path, message: str, private: bool) -> str:
    """Uploads a folder's files in one commit, makes the repository where there is none, and returns the web address."""
    if place.revision is not None:
        raise UserError(f"{place} names a revision; a push goes to the main branch: leave @{place.revision} out")
    api = _client().HfApi()
    with _said(place, sends=True):
        api.create_repo(place.repository, repo_type=place.kind, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=place.repository, repo_type=place.kind, folder_path=folder, commit_message=message)
    return f"{api.endpoint}/{'datasets/' if place.kind == 'dataset' else ''}{place.repository}"


def fetch(place: Place, patterns: list[str]) -> Path:
    """The folder of the client's own that has a repository's files whose names match `patterns`; it is only read."""
    api = _client().HfApi()
    with _said(place, sends=False):
        found = api.snapshot_download(
            place.repository, repo_type=place.kind, revision=place.revision, allow_patterns=patterns
        )
    return Path(found)


def _client() -> ModuleType:
    """The Hub's client, silent but for its progress bars."""
    try:
        import huggingface_hub
        import safetensors  # noqa: F401
        from huggingface_hub.utils import logging
    except ImportError as error:
        raise UserError("the Hub needs packages of its own: pip install 'fastrl[hub]'") from error
    logging.set_verbosity_error()
    return huggingface_hub


@contextlib.contextmanager
def _said(place: Place, *, sends: bool) -> Iterator[None]:
    """Puts what the Hub or its client raises into one line."""
    from huggingface_hub import errors

    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        yield
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{place}: there is no such revision; leave @{place.revision} out, or correct it") from error
    except errors.GatedRepoError as error:
        raise UserError(f"{place} asks its readers to agree to its terms; do so on its page, and {login}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{place} is not there, or is private; check the name, or {login}") from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"{place}: the Hub asks who you are; {login}") from error
    except errors.HfHubHTTPError as error:
        if (status := error.response.status_code) in (401, 403):
            what = "may not write there" if sends else "may not read there"
            raise UserError(f"{place}: you {what}; {login}, with a token that may") from error
        raise Failure(f"{place}: the Hub answers with error {status}; try again later") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.RevisionResolutionError) as error:
        raise Failure(
            f"{place}: the Hub cannot be reached, or HF_HUB_OFFLINE is set, and no earlier pull has kept it;"
            " try again with a network"
        ) from error
    except OSError as error:
        raise Failure(f"{place}: {told(error)}; try again once that is mended") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "hf_xet"):
            raise
        raise Failure(f"{place}: the Hub cannot be reached ({told(error)}); try again later") from error
