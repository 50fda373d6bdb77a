-- What became of each image in the arm that routing chose for it; a re-routed image counts once, at its last outcome.
-- Params: none
-- Grain: dataset, dataset_version, image_id
CREATE VIEW v_outcome AS
SELECT
    dataset, dataset_version, image_id, last.arm AS arm, last.placement AS placement, last.outcome AS outcome,
    last.reason AS reason, last.simulated AS simulated
FROM (
    SELECT
        dataset, dataset_version, image_id,
        -- the least is the last one, and of two at once the one of the lower batch; a sort of all rows takes twice as long
        min({
            'before': -epoch_us(landed_at), 'batch_id': batch_id, 'arm': arm, 'placement': placement, 'outcome': outcome,
            'reason': reason, 'simulated': simulated
        }) AS last
    FROM v_prelabel
    WHERE role = 'chosen'
    GROUP BY dataset, dataset_version, image_id
);
