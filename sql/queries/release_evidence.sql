-- What everybody who holds the very same bytes has found in the images of a dataset version, as the gate must see it.
-- A row without a signal is a level without evidence. Images that a person has overruled are left out: nobody can paint
-- over a person's word.
-- Params: dataset text; dataset_version text
-- Grain: image_id, dataset, dataset_version, signal, category, position
SELECT
    own.image_id, v.dataset, v.dataset_version, v.own_level, f.signal, f.signal_version, f.category, f.position,
    f.level, f.evidence, f.x0_px, f.y0_px, f.x1_px, f.y1_px, f.score, f.token
FROM v_level AS own
JOIN v_level AS v ON v.image_id = own.image_id
LEFT JOIN v_heard AS h ON h.dataset = v.dataset AND h.dataset_version = v.dataset_version
LEFT JOIN findings AS f
    ON f.dataset = v.dataset AND f.dataset_version = v.dataset_version AND f.image_id = v.image_id
    AND f.findings_digest = v.findings_digest AND f.policy_digest = v.policy_digest
WHERE
    own.dataset = $dataset::VARCHAR AND own.dataset_version = $dataset_version::VARCHAR
    AND (
        h.dataset IS NOT NULL
        OR (v.dataset = own.dataset AND v.dataset_version = own.dataset_version)
    )
    AND NOT EXISTS (
        FROM v_override AS o
        WHERE o.image_id = own.image_id
    )
QUALIFY row_number() OVER (
    PARTITION BY own.image_id, v.dataset, v.dataset_version, f.signal, f.category, f.position ORDER BY f.landed_at DESC
) = 1
ORDER BY own.image_id, v.dataset, v.dataset_version, f.signal, f.category, f.position;
