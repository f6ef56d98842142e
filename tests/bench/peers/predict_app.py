"""The model server that a team would write: Flask, with the model that scikit-learn trained. gunicorn runs it with
a worker for each processor: `gunicorn predict_app:app`, BENCH_MODEL names the pickled model."""

import os
import pickle

import numpy as np
from flask import Flask, jsonify, request

with open(os.environ["BENCH_MODEL"], "rb") as file:
    model = pickle.load(file)
columns = [f"f{i}" for i in range(model.n_features_in_)]
app = Flask(__name__)


@app.post("/predict")
def predict():
    rows = request.get_json()["rows"]
    x = np.asarray([[row[name] for name in columns] for row in rows], dtype=np.float32)
    probabilities = model.predict_proba(x)
    return jsonify(rows=[{"label": int(p.argmax()), "probability_0": float(p[0]), "probability_1": float(p[1])}
                         for p in probabilities])
