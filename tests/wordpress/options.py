"""WordPress options written straight into the table, as another node of the cluster would have."""

from __future__ import annotations

from tests.support.stack import Stack


def store(site: Stack, name: str, value: object) -> None:
    literal = serialize(value).replace("\\", "\\\\").replace("'", "\\'")
    site.mariadb.sql(
        f"REPLACE INTO wp_options (option_name, option_value, autoload) VALUES ('{name}', '{literal}', 'yes')", "wordpress"
    )


def serialize(value: object) -> str:
    """What PHP's serialize() makes of `value`."""
    if isinstance(value, bool):
        return f"b:{int(value)};"
    if isinstance(value, int):
        return f"i:{value};"
    if isinstance(value, str):
        return f's:{len(value.encode())}:"{value}";'
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    body = "".join(serialize(key) + serialize(item) for key, item in pairs)
    return f"a:{len(value)}:{{{body}}}"
