"""Trains models and exports them as users do: skl2onnx, onnxmltools. Runs in the environment of score_peers.py.

usage: score_exports.py FOLDER: for each model NAME.onnx, and NAME.npz with rows (x), the library's labels (label)
and probabilities or values (value), and what ONNX Runtime makes of it (onnx_0, onnx_1).
NAME.text.onnx and NAME.text.npz are models of texts (text), without ONNX Runtime.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any, Dict

import numpy as np
import onnxmltools
import onnxruntime
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn import (calibration, cluster, decomposition, discriminant_analysis, ensemble, feature_selection,
                     linear_model, multiclass, naive_bayes, neural_network, preprocessing, svm, tree)
from sklearn.datasets import make_classification
from sklearn.feature_extraction import text
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from xgboost import XGBClassifier, XGBRegressor

OPSET = {"": 17, "ai.onnx.ml": 3}
MAKERS: Dict[str, Any] = {  # each takes the rows and labels of three classes, of two, and a number
    "random_forest": lambda: (ensemble.RandomForestClassifier(20, max_depth=8), 3),
    "random_forest_2": lambda: (ensemble.RandomForestClassifier(20), 2),
    "random_forest_regressor": lambda: (ensemble.RandomForestRegressor(20), 0),
    "extra_trees": lambda: (ensemble.ExtraTreesClassifier(20), 3),
    "gradient_boosting": lambda: (ensemble.GradientBoostingClassifier(n_estimators=20), 3),
    "gradient_boosting_2": lambda: (ensemble.GradientBoostingClassifier(n_estimators=20), 2),
    "gradient_boosting_regressor": lambda: (ensemble.GradientBoostingRegressor(n_estimators=20), 0),
    "histogram": lambda: (ensemble.HistGradientBoostingClassifier(max_iter=20), 3),
    "histogram_2": lambda: (ensemble.HistGradientBoostingClassifier(max_iter=20), 2),
    "histogram_regressor": lambda: (ensemble.HistGradientBoostingRegressor(max_iter=20), 0),
    "xgboost": lambda: (XGBClassifier(n_estimators=20, max_depth=6), 3),
    "xgboost_2": lambda: (XGBClassifier(n_estimators=20, max_depth=6), 2),
    "xgboost_regressor": lambda: (XGBRegressor(n_estimators=20, max_depth=6), 0),
    "lightgbm": lambda: (LGBMClassifier(n_estimators=20, verbose=-1), 3),
    "lightgbm_2": lambda: (LGBMClassifier(n_estimators=20, verbose=-1), 2),
    "lightgbm_regressor": lambda: (LGBMRegressor(n_estimators=20, verbose=-1), 0),
    "xgboost_categories": lambda: (XGBClassifier(n_estimators=20, enable_categorical=True,
                                                 feature_types=["c"] + ["q"] * 7), 2),
    "lightgbm_categories": lambda: (LGBMClassifier(n_estimators=20, verbose=-1, categorical_feature=[0]), 2),
    "isolation_forest": lambda: (ensemble.IsolationForest(n_estimators=50), -1),
    "decision_tree": lambda: (tree.DecisionTreeClassifier(), 3),
    "adaboost": lambda: (ensemble.AdaBoostClassifier(n_estimators=10, algorithm="SAMME"), 3),
    "adaboost_regressor": lambda: (ensemble.AdaBoostRegressor(n_estimators=5), 0),
    "bagging": lambda: (ensemble.BaggingClassifier(n_estimators=5), 3),
    "logistic": lambda: (linear_model.LogisticRegression(), 3),
    "logistic_2": lambda: (linear_model.LogisticRegression(), 2),
    "poisson": lambda: (make_pipeline(preprocessing.StandardScaler(), linear_model.PoissonRegressor()), -2),
    "linear": lambda: (linear_model.LinearRegression(), 0),
    "ridge": lambda: (linear_model.Ridge(), 0),
    "sgd": lambda: (linear_model.SGDClassifier(loss="log_loss"), 3),
    "network": lambda: (neural_network.MLPClassifier((32, 16), max_iter=50), 3),
    "network_2": lambda: (neural_network.MLPClassifier((32, 16), max_iter=50), 2),
    "network_regressor": lambda: (neural_network.MLPRegressor((32, 16), max_iter=50), 0),
    "svc_probability": lambda: (svm.SVC(probability=True), 3),
    "svc_probability_2": lambda: (svm.SVC(probability=True), 2),
    "svr": lambda: (svm.SVR(), 0),
    "naive_bayes": lambda: (naive_bayes.GaussianNB(), 3),
    "bernoulli": lambda: (naive_bayes.BernoulliNB(), 3),
    "discriminant": lambda: (discriminant_analysis.LinearDiscriminantAnalysis(), 3),
    "quadratic": lambda: (discriminant_analysis.QuadraticDiscriminantAnalysis(), 3),
    "calibrated": lambda: (calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=4), cv=3), 3),
    "stacking": lambda: (ensemble.StackingClassifier([("a", linear_model.LogisticRegression()),
                                                      ("b", tree.DecisionTreeClassifier(max_depth=4))]), 3),
    "one_against_rest": lambda: (multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), 3),
    "means": lambda: (cluster.KMeans(3, n_init=2), -1),
    "imputed_scaled_forest": lambda: (make_pipeline(SimpleImputer(), preprocessing.StandardScaler(),
                                                    ensemble.RandomForestClassifier(20, max_depth=6)), 3),
    "scaled_components": lambda: (make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(4),
                                                linear_model.LogisticRegression()), 3),
    "ranged": lambda: (make_pipeline(preprocessing.MinMaxScaler(), linear_model.LogisticRegression()), 3),
    "robust": lambda: (make_pipeline(preprocessing.RobustScaler(), linear_model.LogisticRegression()), 3),
    "normalized": lambda: (make_pipeline(preprocessing.Normalizer(), linear_model.LogisticRegression()), 3),
    "binarized": lambda: (make_pipeline(preprocessing.Binarizer(), linear_model.LogisticRegression()), 3),
    "polynomial": lambda: (make_pipeline(preprocessing.PolynomialFeatures(2),
                                         linear_model.LogisticRegression(max_iter=500)), 3),
    "power": lambda: (make_pipeline(preprocessing.PowerTransformer(), linear_model.LogisticRegression()), 3),
    "binned": lambda: (make_pipeline(preprocessing.KBinsDiscretizer(4, encode="onehot-dense"),
                                     linear_model.LogisticRegression()), 3),
    "selected": lambda: (make_pipeline(feature_selection.SelectKBest(k=4), linear_model.LogisticRegression()), 3),
}


def export(model: Any, x: Any) -> bytes:
    """The file, by the exporter that the library's users take."""
    kind = [("X", FloatTensorType([None, x.shape[1]]))]
    if type(model).__name__.startswith("XGB"):
        made = onnxmltools.convert_xgboost(model, initial_types=kind)
    elif type(model).__name__.startswith("LGBM"):
        made = onnxmltools.convert_lightgbm(model, initial_types=kind)
    else:
        made = to_onnx(model, x[:1], target_opset=OPSET)
    data: bytes = made.SerializeToString()
    return data


TEXT_WORDS = "[a-zA-Z0-9_]+"  # what the exporter takes for words
TEXT_MAKERS: Dict[str, Any] = {
    "tfidf": lambda: make_pipeline(text.TfidfVectorizer(token_pattern=TEXT_WORDS), linear_model.LogisticRegression()),
    "tfidf_pairs": lambda: make_pipeline(text.TfidfVectorizer(token_pattern=TEXT_WORDS, ngram_range=(1, 3)),
                                         linear_model.LogisticRegression()),
    "counts": lambda: make_pipeline(text.CountVectorizer(token_pattern=TEXT_WORDS, max_features=20),
                                    naive_bayes.MultinomialNB()),
    "present": lambda: make_pipeline(text.CountVectorizer(token_pattern=TEXT_WORDS, binary=True),
                                     linear_model.LogisticRegression()),
    "letters": lambda: make_pipeline(text.TfidfVectorizer(analyzer="char", ngram_range=(1, 2)),
                                     linear_model.LogisticRegression()),
    "case": lambda: make_pipeline(text.TfidfVectorizer(token_pattern=TEXT_WORDS, lowercase=False),
                                  ensemble.RandomForestClassifier(10, max_depth=5, random_state=0)),
}


def text_models(folder: Path) -> None:
    """Models of texts, with the library's answers alone: ONNX Runtime's need locales that are not everywhere."""
    rng = np.random.RandomState(0)
    words = np.asarray("the a cat Cat dog mat sat on rain RAIN x1 in of Spain falls night bark red".split())
    texts = np.asarray([" ".join(rng.choice(words, rng.randint(0, 14))) + rng.choice(["", ".", ", and", " \u00dc-Bahn"])
                        for _ in range(1500)])
    labels = np.asarray([("cat" in t.lower()) + ("rain in" in t.lower()) for t in texts])
    for name, maker in TEXT_MAKERS.items():
        model = maker().fit(texts[:1000], labels[:1000])
        made = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], target_opset=OPSET)
        (folder / f"{name}.text.onnx").write_bytes(made.SerializeToString())
        np.savez(folder / f"{name}.text.npz", text=texts[1000:], label=model.predict(texts[1000:]),
                 value=model.predict_proba(texts[1000:]))


def main() -> None:
    """Writes all models; what an exporter cannot do is printed."""
    folder = Path(sys.argv[1])
    warnings.simplefilter("ignore")
    onnxruntime.set_default_logger_severity(3)
    x, y = make_classification(2500, 8, n_informative=6, n_classes=3, random_state=0)
    numbers = x.astype(np.float32)
    number = y + numbers[:, 0] * 2
    categories = numbers.copy()
    categories[:, 0] = np.clip(np.abs(numbers[:, 0] * 10).round(), 0, 30)  # numbers of categories
    text_models(folder)
    for name, maker in MAKERS.items():
        model, kind = maker()
        if "random_state" in model.get_params():
            model.set_params(random_state=0)
        x, scored = (categories, categories[500:]) if name.endswith("_categories") else (numbers, numbers[500:])
        model.fit(x[:1000], {3: y, 2: (y > 0).astype(int), 0: number, -1: y, -2: np.abs(number)}[kind][:1000])
        try:
            data = export(model, x)
        except Exception as wrong:  # whatever it is, the exporter's limits are not ours
            print(f"{name}: {type(wrong).__name__}: {str(wrong)[:100]}")
            continue
        (folder / f"{name}.onnx").write_bytes(data)
        out = {"x": scored, "label": model.predict(scored)}
        if hasattr(model, "predict_proba"):
            out["value"] = model.predict_proba(scored)
        elif kind == -1 and hasattr(model, "decision_function"):
            out["value"] = model.decision_function(scored)
        session = onnxruntime.InferenceSession(data)
        for i, result in enumerate(session.run(None, {session.get_inputs()[0].name: scored})):
            table = [list(row.values()) for row in result] if isinstance(result, list) else result
            out[f"onnx_{i}"] = np.asarray(table).reshape(len(scored), -1)
        np.savez(folder / f"{name}.npz", **out)


if __name__ == "__main__":
    main()
