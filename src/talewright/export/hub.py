"""The Hugging Face hub: whether it is to be had, and an export's way there."""

from __future__ import annotations

from pathlib import Path

from talewright.errors import UserError

PATIENCE = 5.0  # seconds to wait for the hub's first word


def reach_hub() -> None:
    """Raise what the hub's client raises, of whichever kind, where the hub does not answer within seconds: the client
    itself would try again for 23 before it gives up.
    """
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=PATIENCE)


def check_hub(repo: str) -> None:
    """Raise UserError, before anything is written, where the hub is not to be had, or does not know who we are."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"--push {repo} is no name of a repository, such as ada/my-stories: {error}") from None
    try:
        reach_hub()
    except Exception as error:
        raise UserError(f"--push {repo}: {constants.ENDPOINT} is not to be had ({_words(error)})") from None
    try:
        HfApi().whoami()
    except Exception as error:
        raise UserError(
            f"--push {repo}: the hub does not know you ({_words(error)}); log in with `hf auth login`, or set HF_TOKEN"
        ) from None


def push_folder(folder: Path, repo: str, repo_type: str = "model") -> str:
    """Upload the folder to a repository of that type (model, space), and return its address. Raises UserError in the
    hub's words; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        sdk = "gradio" if repo_type == "space" else None
        address = api.create_repo(repo, exist_ok=True, repo_type=repo_type, space_sdk=sdk)
        message = "Upload with talewright export"
        api.upload_folder(folder_path=folder, repo_id=address.repo_id, repo_type=repo_type, commit_message=message)
    except Exception as error:
        raise UserError(f"{folder} is written, but could not be pushed to {repo}: {_words(error)}") from None
    return str(address)


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
