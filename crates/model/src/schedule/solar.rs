//! What the sun does at a place, and when.
//!
//! The sun's position is that of the National Oceanic and Atmospheric Administration's solar calculator, after Jean
//! Meeus, "Astronomical Algorithms". Celery asks PyEphem; the two differ by less than a minute between the polar
//! circles, and by a few where the sun hardly leaves the horizon.

use std::f64::consts::PI;

use thiserror::Error;

use crate::Timestamp;
use crate::time::{DAY, MINUTE};

/// Celery searches so many days for an event that does not happen every day.
const MAX_DAYS: i64 = 366;
/// 2000-01-01T12:00:00Z, from which astronomers count, in microseconds since the Unix epoch.
const J2000: f64 = 946_728_000e6;

/// Why a text is not a solar event; the text is for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SolarError {
    /// Not three words.
    #[error("write an event with latitude and longitude, as in \"sunset 52.52 13.40\"")]
    Parts,
    /// No such event.
    #[error(
        "\"{0}\" is not an event; the events are dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, \
         sunset, dusk_civil, dusk_nautical and dusk_astronomical"
    )]
    Event(String),
    /// Not a latitude.
    #[error("\"{0}\" is not a latitude between -90 and 90")]
    Latitude(String),
    /// Not a longitude.
    #[error("\"{0}\" is not a longitude between -180 and 180")]
    Longitude(String),
}

/// What the sun does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SolarEvent {
    /// 18 degrees below the horizon, rising.
    DawnAstronomical,
    /// 12 degrees below the horizon, rising.
    DawnNautical,
    /// 6 degrees below the horizon, rising.
    DawnCivil,
    /// Its upper edge appears.
    Sunrise,
    /// At its highest.
    SolarNoon,
    /// Its upper edge disappears.
    Sunset,
    /// 6 degrees below the horizon, setting.
    DuskCivil,
    /// 12 degrees below the horizon, setting.
    DuskNautical,
    /// 18 degrees below the horizon, setting.
    DuskAstronomical,
}

impl SolarEvent {
    /// All nine, in a day's order.
    pub const ALL: [Self; 9] = [
        Self::DawnAstronomical,
        Self::DawnNautical,
        Self::DawnCivil,
        Self::Sunrise,
        Self::SolarNoon,
        Self::Sunset,
        Self::DuskCivil,
        Self::DuskNautical,
        Self::DuskAstronomical,
    ];

    /// Celery's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DawnAstronomical => "dawn_astronomical",
            Self::DawnNautical => "dawn_nautical",
            Self::DawnCivil => "dawn_civil",
            Self::Sunrise => "sunrise",
            Self::SolarNoon => "solar_noon",
            Self::Sunset => "sunset",
            Self::DuskCivil => "dusk_civil",
            Self::DuskNautical => "dusk_nautical",
            Self::DuskAstronomical => "dusk_astronomical",
        }
    }

    /// The altitude of the sun's centre, in degrees, and the side of noon: -1 before, 1 after, 0 at noon.
    fn altitude(self) -> (f64, f64) {
        // 34 minutes of refraction, and the sun's radius of 16.
        const EDGE: f64 = -50.0 / 60.0;
        match self {
            Self::DawnAstronomical => (-18.0, -1.0),
            Self::DawnNautical => (-12.0, -1.0),
            Self::DawnCivil => (-6.0, -1.0),
            Self::Sunrise => (EDGE, -1.0),
            Self::SolarNoon => (0.0, 0.0),
            Self::Sunset => (EDGE, 1.0),
            Self::DuskCivil => (-6.0, 1.0),
            Self::DuskNautical => (-12.0, 1.0),
            Self::DuskAstronomical => (-18.0, 1.0),
        }
    }
}

/// A solar event at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Solar {
    /// What the sun does.
    pub event: SolarEvent,
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Solar {
    /// Reads `sunset 52.52 13.40`: event, latitude, longitude.
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(expression: &str) -> Result<Self, SolarError> {
        let parts: Vec<&str> = expression.split_ascii_whitespace().take(4).collect();
        let &[event, latitude, longitude] = parts.as_slice() else { return Err(SolarError::Parts) };
        let shortened = |text: &str| text.chars().take(40).collect();
        let known = SolarEvent::ALL.into_iter().find(|known| known.as_str() == event);
        Ok(Self {
            event: known.ok_or_else(|| SolarError::Event(shortened(event)))?,
            latitude: degrees(latitude, 90.0).ok_or_else(|| SolarError::Latitude(shortened(latitude)))?,
            longitude: degrees(longitude, 180.0).ok_or_else(|| SolarError::Longitude(shortened(longitude)))?,
        })
    }

    /// The first time it happens after `instant`; `None` when it does not within a year.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let day = instant.0.div_euclid(DAY);
        // The noon of a place lies up to half a day from that of Greenwich, and its dawn or dusk another half.
        (day - 2..=day + MAX_DAYS).filter_map(|day| self.on(day)).find(|found| *found > instant)
    }

    /// The last time it happened before `instant`; `None` when it did not within a year.
    pub fn previous_before(&self, instant: Timestamp) -> Option<Timestamp> {
        let day = instant.0.div_euclid(DAY);
        (day - MAX_DAYS..=day + 2).rev().filter_map(|day| self.on(day)).find(|found| *found < instant)
    }

    /// The event around the noon of day `day` since the epoch, to the second; `None` when the sun does not get there.
    fn on(&self, day: i64) -> Option<Timestamp> {
        let mean_noon = (day as f64 + 0.5) * DAY as f64 - self.longitude * 4.0 * MINUTE as f64;
        let (altitude, side) = self.event.altitude();
        let mut at = mean_noon;
        // Each round starts from the sun's position at what the round before found; after a few it stands still.
        for _ in 0..6 {
            let sun = Sun::at(at);
            let noon = mean_noon - sun.equation_of_time_minutes * MINUTE as f64;
            let hour_angle = if side == 0.0 { 0.0 } else { self.hour_angle(altitude, sun.declination)? };
            at = noon + side * hour_angle / (2.0 * PI) * DAY as f64;
        }
        Timestamp::from_unix_seconds((at / 1e6).round())
    }

    /// How far the sun is from its noon, in radians of the day, when it stands at `altitude` degrees.
    fn hour_angle(&self, altitude: f64, declination: f64) -> Option<f64> {
        let latitude = self.latitude.to_radians();
        let above = altitude.to_radians().sin() - latitude.sin() * declination.sin();
        let cosine = above / (latitude.cos() * declination.cos());
        (cosine.abs() <= 1.0).then(|| cosine.acos())
    }
}

fn degrees(text: &str, most: f64) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    text.parse::<f64>().ok().filter(|degrees| plain && text.len() <= 20 && degrees.abs() <= most)
}

/// Where the sun stands, seen from the middle of the earth.
struct Sun {
    /// Radians north of the equator.
    declination: f64,
    /// Sundial minus clock, in minutes.
    equation_of_time_minutes: f64,
}

impl Sun {
    fn at(unix_micros: f64) -> Self {
        let centuries = (unix_micros - J2000) / (36_525.0 * DAY as f64);
        let mean_longitude = (280.46646 + centuries * (36_000.769_83 + centuries * 0.000_303_2)).to_radians();
        let mean_anomaly = (357.52911 + centuries * (35_999.050_29 - 0.000_153_7 * centuries)).to_radians();
        let eccentricity = 0.016_708_634 - centuries * (0.000_042_037 + 0.000_000_126_7 * centuries);
        let centre = mean_anomaly.sin() * (1.914_602 - centuries * (0.004_817 + 0.000_014 * centuries))
            + (2.0 * mean_anomaly).sin() * (0.019_993 - 0.000_101 * centuries)
            + (3.0 * mean_anomaly).sin() * 0.000_289;
        let node = (125.04 - 1934.136 * centuries).to_radians();
        let longitude = mean_longitude + (centre - 0.005_69 - 0.004_78 * node.sin()).to_radians();
        let seconds = 21.448 - centuries * (46.815 + centuries * (0.000_59 - centuries * 0.001_813));
        let obliquity = (23.0 + (26.0 + seconds / 60.0) / 60.0 + 0.002_56 * node.cos()).to_radians();
        let y = (obliquity / 2.0).tan().powi(2);
        let equation = y * (2.0 * mean_longitude).sin() - 2.0 * eccentricity * mean_anomaly.sin()
            + 4.0 * eccentricity * y * mean_anomaly.sin() * (2.0 * mean_longitude).cos()
            - 0.5 * y * y * (4.0 * mean_longitude).sin()
            - 1.25 * eccentricity * eccentricity * (2.0 * mean_anomaly).sin();
        Self {
            declination: (obliquity.sin() * longitude.sin()).asin(),
            equation_of_time_minutes: 4.0 * equation.to_degrees(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect(text)
    }

    /// What Celery 5.7 with PyEphem 4.2 answers.
    const EPHEM: [(&str, &str, &str); 24] = [
        ("sunrise 52.52 13.405", "2026-06-01T12:00:00Z", "2026-06-02T02:48:52Z"),
        ("sunrise 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-02T06:55:42Z"),
        ("sunrise 52.52 13.405", "2026-03-20T00:00:00Z", "2026-03-20T05:09:15Z"),
        ("sunset 52.52 13.405", "2026-06-01T12:00:00Z", "2026-06-01T19:19:24Z"),
        ("sunset 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-01T14:56:05Z"),
        ("dawn_civil 52.52 13.405", "2026-06-01T12:00:00Z", "2026-06-02T02:01:07Z"),
        ("dawn_civil 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-02T06:15:20Z"),
        ("dusk_astronomical 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-01T17:00:52Z"),
        ("dusk_astronomical 52.52 13.405", "2026-03-20T00:00:00Z", "2026-03-20T19:16:14Z"),
        ("solar_noon 52.52 13.405", "2026-06-01T12:00:00Z", "2026-06-02T11:04:22Z"),
        ("solar_noon 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-02T10:55:45Z"),
        ("solar_noon 52.52 13.405", "2026-03-20T00:00:00Z", "2026-03-20T11:13:49Z"),
        ("sunset -33.87 151.21", "2026-06-01T12:00:00Z", "2026-06-02T06:54:00Z"),
        ("sunset -33.87 151.21", "2026-12-01T12:00:00Z", "2026-12-02T08:51:52Z"),
        ("sunset -33.87 151.21", "2026-03-20T00:00:00Z", "2026-03-20T08:06:56Z"),
        ("sunrise 69.65 18.96", "2026-03-20T00:00:00Z", "2026-03-20T04:43:53Z"),
        ("dawn_astronomical 52.52 13.405", "2026-12-01T12:00:00Z", "2026-12-02T04:50:38Z"),
        ("dawn_astronomical 52.52 13.405", "2026-03-20T00:00:00Z", "2026-03-20T03:13:00Z"),
        ("sunrise 21.3 -157.86", "2026-06-01T12:00:00Z", "2026-06-01T15:48:57Z"),
        ("sunrise 21.3 -157.86", "2026-12-01T12:00:00Z", "2026-12-01T16:52:38Z"),
        ("dusk_nautical 40.7128 -74.006", "2026-06-01T12:00:00Z", "2026-06-02T01:35:08Z"),
        ("dusk_nautical 40.7128 -74.006", "2026-12-01T12:00:00Z", "2026-12-01T22:33:36Z"),
        ("dusk_nautical 40.7128 -74.006", "2026-03-20T00:00:00Z", "2026-03-20T00:06:24Z"),
        ("sunset 78.22 15.65", "2026-03-20T00:00:00Z", "2026-03-20T17:21:54Z"),
    ];

    #[test]
    fn events_are_within_a_minute_of_what_celery_computes() {
        for (expression, from, expected) in EPHEM {
            let solar = Solar::parse(expression).expect(expression);
            let found = solar.next_after(at(from)).expect(expression);
            let apart = (found.0 - at(expected).0).abs();
            assert!(apart < MINUTE, "{expression} after {from}: {found}, not {expected}");
            assert_eq!(solar.previous_before(found.plus(1)), Some(found));
        }
    }

    #[test]
    fn an_event_that_does_not_happen_every_day_is_looked_for() {
        // The midnight sun of Tromsø: PyEphem says 25 July, 23:05.
        let sunrise = Solar::parse("sunrise 69.65 18.96").expect("parses");
        let found = sunrise.next_after(at("2026-06-01T12:00:00Z")).expect("within a year");
        assert!((found.0 - at("2026-07-25T23:05:54Z").0).abs() < 2 * DAY, "{found}");
        let pole = Solar::parse("dusk_civil 90 0").expect("parses");
        assert_eq!(pole.next_after(Timestamp(i64::MAX)), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["", "sunset", "sunset 1", "moonrise 1 2", "sunset 91 0", "sunset 0 181", "sunset inf 0", "sunset 1e1 0"]
        {
            assert!(Solar::parse(text).is_err(), "{text}");
        }
    }
}
