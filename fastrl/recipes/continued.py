"""Cal-QL, CQL and IQL continued online with their own loss: what WSRL is compared with (figures 2, 7 and 9)."""

from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder


def _continued(builder: Builder, name: str, **recipe: object) -> list[Phase]:
    config = builder.config(name, **recipe)
    ratio, fill = builder.retention()
    return [builder.offline(config), *builder.online(config, warmup=0, ratio=ratio, fill=fill)]


def calql(builder: Builder) -> list[Phase]:
    """Cal-QL offline and online; online rows get their Monte-Carlo returns when their episode ends."""
    return _continued(builder, "calql", num_critics=2, layer_norm=False)


def cql(builder: Builder) -> list[Phase]:
    """CQL offline and online."""
    return _continued(builder, "cql", num_critics=2, layer_norm=False)


def iql(builder: Builder) -> list[Phase]:
    """IQL offline and online."""
    return _continued(builder, "iql")
