"""Inserts the options of `jasco-generate` into its reference page."""

import argparse


MARKER = "<!-- options of jasco-generate -->"


def on_page_markdown(markdown: str, **kwargs) -> str:
    if MARKER not in markdown:
        return markdown
    from diffusers_jasco.commands.generate import build_parser

    return markdown.replace(MARKER, "\n\n".join(_sections(build_parser())))


def _sections(parser: argparse.ArgumentParser):
    for group in parser._action_groups:
        rows = [_row(action, parser) for action in group._group_actions if action.help != argparse.SUPPRESS]
        if rows:
            yield "\n".join([f"## {group.title.capitalize()}", "", "| Option | Description |", "|---|---|", *rows])


def _row(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.dest}`"
    if action.choices:
        name += " " + ", ".join(f"`{choice}`" for choice in action.choices)
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    # A vertical bar would end the table cell.
    return f"| {name} | " + text.replace("|", "\\|") + " |"
