//! Statistics of the field, each with its source.

pub mod calibration;
pub mod clustered;
pub mod proportion;
pub mod ranking;
pub mod stability;

#[cfg(test)]
mod tests {
    //! Against values that scikit-learn, SciPy and optbinning computed; `tests/statistics/make.py` says how.

    use serde_json::Value;

    use super::calibration::Nominal;
    use super::proportion::{normal_cdf, wilson};
    use super::ranking::{Levels, difference};
    use super::stability::{psi, psi_by_chance};

    fn expected() -> Value {
        serde_json::from_str(include_str!("../../tests/statistics/expected.json")).unwrap()
    }

    fn same(found: f64, expected: &Value) -> bool {
        let expected = expected.as_f64().unwrap();
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    fn integers(value: &Value) -> Vec<i64> {
        value.as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
    }

    fn counts(value: &Value) -> Vec<u64> {
        value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
    }

    fn flags(value: &Value) -> Vec<bool> {
        value.as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect()
    }

    fn levels(case: &Value) -> Levels {
        Levels::of(integers(&case["scores"]).into_iter().zip(flags(&case["bad"])))
    }

    #[test]
    fn ranking_equals_scikit_learn_and_scipy() {
        for case in expected()["ranking"].as_array().unwrap() {
            let (levels, name) = (levels(case), &case["name"]);
            let found = levels.ranking().unwrap();
            assert!(
                same(found.auc, &case["auc"]) && same(found.gini, &case["gini"]) && same(found.ks, &case["ks"]),
                "{name}"
            );
            assert_eq!(case["auc_low"].is_null(), found.auc_low.is_none(), "{name}");
            if let (Some(low), Some(high)) = (found.auc_low, found.auc_high) {
                assert!(same(low, &case["auc_low"]) && same(high, &case["auc_high"]), "{name}");
                assert!(same(levels.variance().unwrap(), &case["auc_variance"]), "{name}");
            }
            let (fpr, tpr) = (case["roc"]["fpr"].as_array().unwrap(), case["roc"]["tpr"].as_array().unwrap());
            let roc = levels.roc();
            assert_eq!(roc.len(), fpr.len(), "{name}");
            assert!(roc.iter().zip(fpr.iter().zip(tpr)).all(|(f, (x, y))| same(f.0, x) && same(f.1, y)), "{name}");
        }
    }

    #[test]
    fn the_difference_of_two_areas_equals_delongs_test() {
        for case in expected()["delong"].as_array().unwrap() {
            let found = difference(&integers(&case["a"]), &integers(&case["b"]), &flags(&case["bad"])).unwrap();
            assert!(same(found.difference, &case["difference"]), "{}", case["name"]);
            assert!(same(found.low, &case["low"]) && same(found.high, &case["high"]), "{}", case["name"]);
            assert_eq!(found.p_value.is_none(), case["p_value"].is_null());
            assert!(found.p_value.is_none_or(|p| same(p, &case["p_value"])), "{}", case["name"]);
        }
    }

    #[test]
    fn calibration_equals_scikit_learn_and_scipy() {
        for case in expected()["calibration"].as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (points, odds) = (number("points_at"), number("odds_at"));
            let nominal = Nominal { points, odds, points_to_double: number("points_to_double") };
            let found = nominal.calibration(&levels(case)).unwrap();
            assert!(same(found.mean_pd, &case["mean_pd"]) && same(found.observed, &case["observed"]));
            assert!(same(found.brier, &case["brier"]) && same(found.log_loss, &case["log_loss"]));
            assert!(same(found.intercept.unwrap(), &case["intercept"]) && same(found.slope.unwrap(), &case["slope"]));
        }
    }

    #[test]
    fn separated_classes_have_no_slope() {
        let nominal = Nominal { points: 600.0, odds: 19.0, points_to_double: 50.0 };
        let separated = Levels::of((400..500).map(|s| (s, true)).chain((600..700).map(|s| (s, false))));
        assert_eq!(nominal.calibration(&separated).unwrap().slope, None);
    }

    #[test]
    fn stability_equals_optbinning_and_chance_is_near_scipy() {
        let expected = expected();
        for case in expected["psi"].as_array().unwrap() {
            assert!(same(psi(&counts(&case["expected"]), &counts(&case["actual"])), &case["psi"]), "{}", case["name"]);
        }
        for case in expected["chi2"].as_array().unwrap() {
            let count = |key: &str| case[key].as_u64().unwrap();
            let found = psi_by_chance(usize::try_from(count("cells")).unwrap(), count("n"), count("m"));
            // Wilson and Hilferty's quantile is a little too large, most with two cells.
            let over = found / case["quantile_999"].as_f64().unwrap();
            assert!((1.0..1.031).contains(&over), "{over} with {} cells", case["cells"]);
        }
    }

    #[test]
    fn shares_equal_scipy() {
        let expected = expected();
        for case in expected["wilson"].as_array().unwrap() {
            let (low, high) = wilson(case["bad"].as_u64().unwrap(), case["subjects"].as_u64().unwrap());
            assert!(same(low, &case["low"]) && same(high, &case["high"]), "{case}");
        }
        for case in expected["normal"]["values"].as_array().unwrap() {
            assert!(same(normal_cdf(case["x"].as_f64().unwrap()), &case["cdf"]), "{case}");
        }
    }
}
