"""Chooses C by scikit-learn's LogisticRegressionCV, as its users would, and fits on all rows.

usage: logistic_regression_cv.py EMBEDDINGS.f32 LABELS.json L2...
"""
import json
import sys
import time

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.preprocessing import StandardScaler

labels = np.array(json.load(open(sys.argv[2])))
features = np.fromfile(sys.argv[1], '<f4').reshape(len(labels), -1)
# It minimises sum(cross-entropy) + ||W||^2 / (2 C), where lastlayer's penalty is relative to the mean over four folds.
inverse = [1 / (0.8 * len(labels) * float(l2)) for l2 in sys.argv[3:]]
start = time.perf_counter()
features = StandardScaler().fit_transform(features)
head = LogisticRegressionCV(
    Cs=inverse, cv=5, scoring='neg_log_loss', max_iter=1000, l1_ratios=(0,), use_legacy_attributes=False
).fit(features, labels)
loss = -head.scores_.mean(axis=0).max()
print(json.dumps({'seconds': time.perf_counter() - start, 'outOfFoldLogLoss': float(loss)}))
