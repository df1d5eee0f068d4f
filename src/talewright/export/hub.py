"""Upload an export to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from talewright.errors import UserError

TIMEOUT = 5.0  # seconds to wait for the hub's first answer
LOGIN = "Run `hf auth login`, or set HF_TOKEN"
REFUSALS = {
    401: f"the hub does not accept the token. {LOGIN}",
    403: "the token may not write there. Name a repository of your own, and use a token that writes",
    404: "there is no repository of that name and type, or the token does not see it; perhaps the name is taken by one "
    "of another type. Choose another name",
}
"""What an answer of the hub means, by its status."""


def reach_hub() -> None:
    """Raise an error of any kind if the hub does not answer within seconds; its own client would retry for 23."""
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=TIMEOUT)


def check_hub(repo: str) -> None:
    """Raise UserError, before anything is written, if the hub cannot be reached or does not know the user."""
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"--push {repo} is not a repository name, such as ada/my-stories: {error}") from None
    if get_token() is None:
        raise UserError(f"--push {repo}: not logged in to the hub. {LOGIN}")
    try:
        reach_hub()
    except Exception as error:
        raise UserError(f"--push {repo}: cannot reach {constants.ENDPOINT} ({short_reason(error)})") from None
    try:
        user = HfApi().whoami() or {}
    except Exception as error:
        raise UserError(f"--push {repo}: not logged in to the hub ({short_reason(error)}). {LOGIN}") from None
    if user.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise UserError(f"--push {repo}: the token only reads. {LOGIN} to a token that writes")


def push_folder(folder: Path, repo: str, space_sdk: str | None = None) -> str:
    """Upload the folder to a model's repository, or to a Space of that SDK (gradio or static), and return its URL.

    Raises UserError with the hub's reason; the folder stays.
    """
    from huggingface_hub import HfApi

    api, repo_type = HfApi(), "space" if space_sdk else "model"
    try:
        url = api.create_repo(repo, exist_ok=True, repo_type=repo_type, space_sdk=space_sdk)
        message = "Upload with talewright export"
        api.upload_folder(folder_path=folder, repo_id=url.repo_id, repo_type=repo_type, commit_message=message)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        reason = REFUSALS.get(status, short_reason(error))
        raise UserError(f"{folder} is written, but could not be pushed to {repo}: {reason}") from None
    return str(url)


def short_reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
