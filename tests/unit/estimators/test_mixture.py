"""Mixtures of Gaussians beside the flows, and how much each counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import flow_models as fm
from flow_models.estimators.mixture import Mixture
from flow_models.estimators.recipe import Recipe
from flow_models.estimators.stacking import stacked
from tests.unit.estimators.tiny import TINY

RNG = np.random.default_rng(0)
CENTRES = np.array([[-30.0, 0.0], [30.0, 0.5]])
CLUSTERS = CENTRES[np.arange(300) % 2] + RNG.normal(size=(300, 2)) @ [[1.0, 0.3], [0.0, 0.2]]


@pytest.fixture(scope="module")
def mixture():
    return Mixture.of(CLUSTERS, seed=0)


def test_a_mixture_finds_the_clusters_and_their_density(mixture):
    assert len(mixture.shares) == 2
    covariances = mixture.roots @ mixture.roots.transpose(0, 2, 1)
    parts = zip(mixture.shares, mixture.means, covariances, strict=True)
    density = sum(share * multivariate_normal(*each).pdf(CLUSTERS) for share, *each in parts)
    np.testing.assert_allclose(mixture.log_prob(CLUSTERS), np.log(density), rtol=1e-9)
    truth = np.log(0.5) + multivariate_normal(cov=[[1.0, 0.3], [0.3, 0.13]]).logpdf(
        CLUSTERS - CENTRES[np.arange(300) % 2]
    )
    assert mixture.log_prob(CLUSTERS).mean() == pytest.approx(truth.mean(), abs=0.1)


def test_samples_of_a_mixture_are_like_the_rows(mixture):
    samples = mixture.sample(5_000, seed=1)
    np.testing.assert_allclose(samples.mean(axis=0), CLUSTERS.mean(axis=0), atol=1.5)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(CLUSTERS.T), rtol=0.1, atol=1.0)


def test_a_mixture_takes_wide_tables_of_few_and_doubled_rows():
    for rows in (RNG.normal(size=(8, 40)), np.repeat(CLUSTERS[:3], 4, axis=0), CLUSTERS[:2]):
        assert np.isfinite(Mixture.of(rows, seed=0).log_prob(rows)).all()


def test_no_further_mixture_is_tried_when_time_is_over():
    assert len(Mixture.of(CLUSTERS, seed=0, seconds=0.0).shares) == 1


def test_the_share_of_a_density_is_that_of_the_rows_that_it_explains():
    likelier = np.repeat([[0.0, -50.0], [-50.0, 0.0]], [30, 10], axis=0)
    np.testing.assert_allclose(stacked(likelier), [31 / 42, 11 / 42], atol=1e-6)
    np.testing.assert_allclose(stacked(likelier, np.repeat([2 / 3, 2], [30, 10])), [21 / 42, 21 / 42], atol=1e-6)


def test_clusters_of_few_rows_are_left_to_the_mixture_and_kept_in_files(tmp_path):
    density = fm.FlowDensity(**TINY).fit(CLUSTERS)
    assert density.flow_share_ < 0.2
    density.save(tmp_path / "density")
    again = fm.FlowDensity.load(tmp_path / "density")
    np.testing.assert_allclose(again.score_samples(CLUSTERS), density.score_samples(CLUSTERS), rtol=1e-6)
    np.testing.assert_allclose(again.sample(20), density.sample(20), rtol=1e-6)


def test_very_few_and_many_rows_have_flows_alone():
    assert not Recipe.of(9, 2).mixtures
    assert Recipe.of(10, 2).mixtures
    assert Recipe.of(19_999, 2).mixtures
    assert not Recipe.of(20_000, 2).mixtures
