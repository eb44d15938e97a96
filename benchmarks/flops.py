"""python benchmarks/flops.py prints the floating-point operations of each learner workload.

The model counts multiply-adds of matrix products twice and nothing else (no LayerNorm, no activation), and only what
the algorithm needs: the drawn target critics, no gradient to inputs that nobody asked for. The actor's own pass for
the temperature (fresh samples at next_obs) is counted.
"""

import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Shape:
    """A learner's shape; letters as in the formulas below."""

    obs: int
    act: int
    critics: int = 10
    width: int = 256
    critic_layers: int = 2
    actor_width: int = 256
    actor_layers: int = 2
    heads: int = 2  # 2 if the std is a network output
    batch: int = 256
    utd: int = 4
    targets: int = 2  # target critics evaluated
    backup_actions: int = 1
    candidates: int = 0  # CQL's candidate actions per row
    penalized: int = 10  # critics with CQL's penalty


def mlp(inputs: int, width: int, layers: int, outputs: int) -> int:
    """Multiply-adds of one row."""
    return inputs * width + (layers - 1) * width**2 + width * outputs


def critic(s: Shape) -> tuple[int, int, int]:
    """Operations per row of one critic: forward, gradient to the hidden layers, gradient to the action."""
    forward = 2 * mlp(s.obs + s.act, s.width, s.critic_layers, 1)
    hidden = 2 * ((s.critic_layers - 1) * s.width**2 + s.width)
    return forward, hidden, hidden + 2 * s.width * s.act


def actor(s: Shape) -> tuple[int, int]:
    """Operations per row of the actor: forward, gradient to its hidden layers."""
    outputs = s.act * s.heads
    hidden = 2 * ((s.actor_layers - 1) * s.actor_width**2 + s.actor_width * outputs)
    return 2 * mlp(s.obs, s.actor_width, s.actor_layers, outputs), hidden


def critic_update(s: Shape) -> int:
    """One critic update: next actions, targets, forward, gradients of weights and hidden layers."""
    (forward, hidden, _), (policy, _) = critic(s), actor(s)
    train = 2 * forward + hidden
    target = policy + s.targets * s.backup_actions * forward
    return s.batch * (target + s.critics * train + s.penalized * s.candidates * train)


def actor_update(s: Shape) -> int:
    """The actor's and the temperature's update on all rows."""
    (forward, _, to_action), (policy, hidden) = critic(s), actor(s)
    row = policy + s.critics * (forward + to_action) + policy + hidden + policy
    return s.utd * s.batch * row


def learner_step(s: Shape) -> int:
    """`utd` critic updates and one actor update."""
    return s.utd * critic_update(s) + actor_update(s)


def parameters(s: Shape) -> tuple[int, int]:
    """Numbers of all critics, and of the actor; a hidden layer's bias and LayerNorm have three a unit."""
    h, a = s.width, s.actor_width
    critics = s.critics * ((s.obs + s.act) * h + 3 * h + (s.critic_layers - 1) * (h**2 + 3 * h) + h + 1)
    policy = s.obs * a + 3 * a + (s.actor_layers - 1) * (a**2 + 3 * a) + s.heads * (a * s.act + s.act)
    return critics, policy


def learner_bytes(s: Shape) -> int:
    """What `utd` critic updates and one actor update must move if only activations stay on the chip.

    Of each number of the critics eight float32 an update (itself, its target and Adam's two, read and written), of each
    of the actor's six, and the minibatches' rows once.
    """
    critics, policy = parameters(s)
    return s.utd * 32 * critics + 24 * policy + s.utd * s.batch * 4 * row(s)


def row(s: Shape) -> int:
    """Numbers of a packed transition."""
    return 2 * s.obs + s.act + 4


def loop_step(s: Shape) -> int:
    """Operations of an environment step of fine-tuning: the learner's and the policy's; not the environment's."""
    return learner_step(s) + actor(s)[0]


def loop_bytes(s: Shape) -> int:
    """What such a step must move: the learner's bytes, the drawn rows once more, its own row read and written."""
    return learner_bytes(s) + s.utd * s.batch * 4 * row(s) + 8 * row(s)


def print_all() -> None:
    """One line per workload."""
    from fastrl.benchmarks.learner import SHAPES

    for name, shape in SHAPES.items():
        print(
            json.dumps({"workload": name, "gflop": learner_step(shape) / 1e9, "megabytes": learner_bytes(shape) / 1e6})
        )


if __name__ == "__main__":
    print_all()
