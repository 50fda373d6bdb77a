-- What each pilot proves now about an arm against the reference, with its interval; the state that landed last.
-- What is exploratory, blocked or running takes the place of no verdict. Nothing goes by that of a `stopped` pilot.
-- `ratio` is seconds under the arm / under the reference; equal is what lies within 1 - margin and 1 / (1 - margin).
-- Params: dataset text = null
-- Grain: dataset, pilot_id, stratum, arm
SELECT
    c.dataset, p.pilot, c.stratum, c.arm, c.reference, c.verdict, c.winner, c.ratio, c.ratio_low, c.ratio_high,
    1 - c.margin AS equal_low, 1 / (1 - c.margin) AS equal_high, c.p_holm, c.p_equal, c.images_count, c.reviewers_count,
    c.settling_images_count, c.saving, c.saving_low, c.saving_high, c.exploratory,
    c.pilot_id IN (SELECT e.pilot_id FROM pilot_ends AS e WHERE e.kind = 'stopped') AS stopped, c.simulated, c.sentence, c.pilot_id,
    c.dataset_version, c.contrast_id, c.landed_at
FROM pilot_contrasts AS c
JOIN (SELECT pilot_id, any_value(name) AS pilot FROM pilots GROUP BY pilot_id) AS p USING (pilot_id)
WHERE ($dataset::VARCHAR IS NULL OR c.dataset = $dataset::VARCHAR)
QUALIFY row_number() OVER (
    PARTITION BY c.pilot_id, c.stratum, c.arm ORDER BY c.exploratory OR c.verdict IN ('blocked', 'running'), c.landed_at DESC, c.contrast_id DESC
) = 1
ORDER BY c.dataset, p.pilot, c.pilot_id, c.stratum, c.arm;
