"""An export on the Hugging Face hub: only where somebody asks for it."""

import re
from pathlib import Path

from merkit.errors import ConfigError, StoreError

__all__ = ["check_push", "pushed"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def check_push(name: str) -> None:
    """Whether an upload can be tried at all, before anything is written.

    Raises:
        ConfigError: no such name, the hub is switched off, or nobody is logged in.

    Example:
        >>> check_push("no slash")
        Traceback (most recent call last):
        ...
        merkit.errors.ConfigError: --push no slash: a model on the hub is called OWNER/NAME
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--push {name}: a model on the hub is called OWNER/NAME")
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise ConfigError(f"--push {name}: HF_HUB_OFFLINE is set, so nothing may go to the hub")
    if not get_token():
        raise ConfigError(
            f"--push {name}: nobody is logged in to the Hugging Face hub; `hf auth login`, or set HF_TOKEN"
        )


def pushed(folder: Path, name: str, *, private: bool = True) -> str:
    """Uploads an exported folder.

    Args:
        folder: whole.
        name: OWNER/NAME; made where it is not there.
        private: for a repository that is made.

    Returns:
        Its address.

    Raises:
        StoreError: the hub cannot be reached, or refuses. The folder stays where it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api = HfApi()
        address = api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Export of merkit")
    except (HfHubHTTPError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise StoreError(f"{name}: not uploaded ({said}); {folder} is whole, and --push can be tried again") from None
    return str(address)
