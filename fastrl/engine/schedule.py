"""When a run's host logs, evaluates and looks into its agents, in steps of a phase's scan."""

import math

from fastrl.engine.phase import Phase
from fastrl.engine.plan import Plan


def divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most` (and at least 1)."""
    return max(d for d in range(1, max(1, min(number, most)) + 1) if number % d == 0)


class Schedule:
    """The moments of a plan at which something happens between two calls of a phase's program."""

    def __init__(self, plan: Plan):
        self.plan = plan

    def eval_every(self, phase: Phase) -> int:
        """Steps between two evaluations."""
        return max(1, self.plan.eval_every // phase.rollout)

    def log_every(self, phase: Phase) -> int:
        """Steps between two rows of the log: about a tenth of that."""
        every = self.eval_every(phase)
        return divisor(every, every // 10)

    def probe_every(self, phase: Phase) -> int:
        """Steps between two rows of diagnostics; 0: there are none."""
        return max(1, self.plan.probe_every // phase.rollout) if self.plan.probe_every else 0

    def switch_every(self, phase: Phase) -> int:
        """Steps between two evaluations in the first tenth of an online phase that learns; 0: as later."""
        if self.plan.eval_switch is None or not (phase.online and phase.updates):
            return 0
        return max(1, self.plan.eval_switch // phase.rollout)

    def length(self, phase: Phase, done: int) -> int:
        """Steps of one call of the program, so that every moment falls between two calls.

        A resume may begin where another chunk left off.
        """
        moments = (self.log_every(phase), self.probe_every(phase), self.switch_every(phase))
        steps = math.gcd(self.plan.iterations(phase), done, *moments)
        return divisor(steps, max(1, self.plan.chunk // phase.rollout))

    def logs(self, phase: Phase, done: int) -> bool:
        """Whether a row of training metrics is due."""
        return done % self.log_every(phase) == 0 or done == self.plan.iterations(phase)

    def probes(self, phase: Phase, done: int) -> bool:
        """Whether diagnostics are due."""
        return done % self.probe_every(phase) == 0 or done == self.plan.iterations(phase)

    def opens(self, number: int) -> bool:
        """Whether a phase opens with an evaluation: the first does, and the first whose algorithm judges its policy."""
        phases = self.plan.phases[max(0, number - 1) : number + 1]
        judges = [phase.algorithm().judge is not None for phase in phases]
        return number == 0 or (judges[1] and not judges[0])

    def evaluates(self, number: int, done: int) -> bool:
        """Whether an evaluation is due: at each end; while the policy learns, every `eval_every` too.

        Online it is due as well when updates begin, and may be more often in the first tenth of the phase.
        """
        phase = self.plan.phases[number]
        if done == self.plan.iterations(phase):
            return True
        if not (phase.updates and phase.moves_policy):
            return False
        if done % self.eval_every(phase) == 0 or (phase.online and done == self.log_every(phase)):
            return True
        switch = self.switch_every(phase)
        return switch > 0 and done % switch == 0 and 10 * done <= self.plan.iterations(phase)
