-- What is held against one image under the policies in force, dataset by dataset, and the level it comes to.
-- Params: image_id text
-- Grain: dataset, dataset_version, findings_digest, signal, category, position
SELECT
    v.dataset, v.dataset_version, v.image_id, v.policy_digest, v.findings_digest, v.own_level,
    v.level AS level_in_force, f.signal, f.signal_version, f.category, f.position, f.level, f.evidence,
    f.x0_px, f.y0_px, f.x1_px, f.y1_px, f.score, f.token
FROM v_level AS v
LEFT JOIN findings AS f
    ON f.dataset = v.dataset AND f.dataset_version = v.dataset_version AND f.image_id = v.image_id
    AND f.findings_digest = v.findings_digest AND f.policy_digest = v.policy_digest
SEMI JOIN v_current AS c ON c.dataset = v.dataset AND c.dataset_version = v.dataset_version
WHERE v.image_id = $image_id::VARCHAR
QUALIFY row_number() OVER (
    PARTITION BY v.dataset, v.dataset_version, f.signal, f.category, f.position ORDER BY f.landed_at DESC
) = 1
ORDER BY v.dataset, v.dataset_version, f.signal, f.category, f.position;
