"""Quadratic programs of the shape that `sesame fit` solves, and what Clarabel says of them: tests/statistics/quadratic.json.

    pip install clarabel numpy scipy
    python tests/statistics/quadratic.py > tests/statistics/quadratic.json

minimise ½ xᵀGx − aᵀx with x = (intercept, steps, worths): steps at least 0, those up of a feature at most 7/12 of its worth, those
down at most 5/12, worths of a category summing to its room.
"""
import json

import clarabel
import numpy as np
import scipy.sparse as sp

rng = np.random.default_rng(20)
programs = []
for features, steps in [(2, 2), (3, 3), (5, 2), (6, 4), (8, 5), (10, 3)] * 2:
    n = 1 + features * steps + features
    x = rng.normal(size=(3 * n, n)) * (rng.random((3 * n, n)) < 0.5)
    curvature = np.round(x.T @ x / n + 0.05 * np.eye(n), 9)
    linear = np.round(rng.normal(size=n) * 2, 6)
    constraints = []
    step = lambda f, s: 1 + f * steps + s
    worth = lambda f: 1 + features * steps + f
    for c in range(2):
        constraints.append(([(worth(f), 1.0) for f in range(features) if f % 2 == c], 1.5 + c, True))
    constraints += [([(step(f, s), 1.0)], 0.0, False) for f in range(features) for s in range(steps)]
    for f in range(features):
        for down, part in ((0, 7 / 12), (1, 5 / 12)):
            of = [(step(f, s), -1.0) for s in range(steps) if s % 2 == down]
            constraints.append((of + [(worth(f), part)], 0.0, False))
    rows = np.zeros((len(constraints), n))
    for row, (of, _, _) in zip(rows, constraints):
        for at, value in of:
            row[at] = value
    bounds = np.array([bound for _, bound, _ in constraints])
    equal = sum(e for _, _, e in constraints)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-13
    cones = [clarabel.ZeroConeT(equal), clarabel.NonnegativeConeT(len(constraints) - equal)]
    # Clarabel wants Ax + s = b: equalities as they are, the rest turned around.
    sign = np.where(np.arange(len(constraints)) < equal, 1.0, -1.0)
    solver = clarabel.DefaultSolver(
        sp.csc_matrix(np.triu(curvature)), -linear, sp.csc_matrix(rows * sign[:, None]), bounds * sign, cones, settings
    )
    solved = solver.solve()
    assert str(solved.status) in ("Solved", "AlmostSolved"), solved.status
    programs.append({
        "curvature": curvature.tolist(), "linear": linear.tolist(),
        "constraints": [{"of": of, "bound": bound, "equal": e} for of, bound, e in constraints],
        "x": list(solved.x), "least": solved.obj_val,
    })
print("[\n" + ",\n".join(json.dumps(p) for p in programs) + "\n]")
