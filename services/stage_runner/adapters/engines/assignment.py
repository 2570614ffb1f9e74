"""What a coding agent reads on its standard input: the task in words."""

from __future__ import annotations

from contracts.task import RepoSpec, StageInput


def assignment(given: StageInput, repo: RepoSpec, within: tuple[str, ...]) -> str:
    """Write a task down for whoever does the work, person or program."""
    spec = given.spec
    after = [command for command in (repo.verify.build, repo.verify.test, repo.verify.audit) if command]
    parts = [f"# {spec.title}", spec.body.strip()]
    if repo.fail_to_pass:
        parts.append("## These fail now and have to pass\n\n" + _commands(repo.fail_to_pass))
    if after:
        parts.append("## These have to pass as well\n\n" + _commands(after))
    if repo.known_failures:
        parts.append(
            "## Known to fail, and free to go on failing\n\n"
            + "\n".join(map("- {}".format, repo.known_failures))
        )
    allowed = ", ".join(f"`{path}`" for path in repo.may_change_tests) or "none"
    parts.append(
        "## Rules\n\n"
        f"- Work in the current directory. Stay within: {', '.join(f'`{path}`' for path in within)}.\n"
        f"- Leave existing tests, test configuration and CI as they are; exceptions: {allowed}. New tests are welcome.\n"
        "- Only what differs in the files counts. Commits are not needed, and what you print is kept but not believed.\n"
        "- There is no network."
    )
    if given.thoughts:
        parts.append(
            "## What was found out before\n\n" + "\n".join(f"- {thought}" for thought in given.thoughts)
        )
    if given.delta is not None:
        failed = "\n".join(f"- {answer}" for answer in given.delta.answers)
        parts.append(
            f"## An earlier change was refused\n\nDo something else: {given.delta.different}.\n\n{failed}"
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(commands: tuple[str, ...] | list[str]) -> str:
    return "\n\n".join("    " + command.replace("\n", "\n    ") for command in commands)
