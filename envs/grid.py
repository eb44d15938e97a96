"""Mazes drawn on a grid: cells, centres and shortest paths. Host code (NumPy), no physics."""

import dataclasses

import numpy as np

Cell = tuple[int, int]
"""(row, column); rows grow downwards, towards -y."""


@dataclasses.dataclass(frozen=True, eq=False)
class Maze:
    """Walls on a grid of 1 m cells with the origin in the middle."""

    walls: np.ndarray  # [R, C] bool
    goal: Cell  # the evaluation goal
    horizon: int  # steps

    @classmethod
    def of(cls, *rows: str, horizon: int) -> "Maze":
        """Reads a drawing: `#` wall, `G` evaluation goal."""
        grid = np.array([list(row) for row in rows])
        row, column = np.argwhere(grid == "G")[0]
        return cls(grid == "#", (int(row), int(column)), horizon)

    @property
    def free(self) -> np.ndarray:
        """Cells that are no wall [F, 2], by row then column."""
        return np.argwhere(~self.walls)

    def centre(self, cells: np.ndarray | Cell) -> np.ndarray:
        """Positions [..., 2] in m of the centres of cells [..., 2]."""
        rows, columns = self.walls.shape
        row, column = np.moveaxis(np.asarray(cells, float), -1, 0)
        return np.stack([column + 0.5 - columns / 2, rows / 2 - (row + 0.5)], -1)

    def distances(self, goal: Cell) -> np.ndarray:
        """Cells [R, C] of a shortest path to `goal`, -1 where there is none (breadth first)."""
        steps = np.full(self.walls.shape, -1)
        steps[goal] = 0
        frontier = [goal]
        for row, column in frontier:
            for near in neighbours((row, column)):
                if not self.walls[near] and steps[near] < 0:
                    steps[near] = steps[row, column] + 1
                    frontier.append(near)
        return steps

    def paths(self) -> np.ndarray:
        """Cells [F, R, C, 2] after (row, column) on a shortest path to free cell f; f at its end and in walls."""
        table = np.broadcast_to(self.free[:, None, None], (len(self.free), *self.walls.shape, 2)).copy()
        for index, goal in enumerate(self.free):
            steps = self.distances(tuple(goal))
            for cell in map(tuple, self.free):
                for near in neighbours(cell):
                    if steps[near] == steps[cell] - 1 and steps[cell] > 0:
                        table[(index, *cell)] = near
        return table


def neighbours(cell: Cell) -> list[Cell]:
    """The four cells around one."""
    row, column = cell
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


UMAZE = Maze.of("#####", "#...#", "###.#", "#G..#", "#####", horizon=300)
MEDIUM = Maze.of(
    "########",
    "#..##..#",
    "#..#...#",
    "##...###",
    "#..#...#",
    "#.#..#.#",
    "#...#.G#",
    "########",
    horizon=600,
)
LARGE = Maze.of(
    "############",
    "#....#.....#",
    "#.##.#.#.#.#",
    "#......#...#",
    "#.####.###.#",
    "#..#.#.....#",
    "##.#.#.#.###",
    "#..#...#..G#",
    "############",
    horizon=800,
)
MAZES = {"umaze": UMAZE, "medium": MEDIUM, "large": LARGE}
