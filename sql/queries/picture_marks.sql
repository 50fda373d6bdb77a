-- What one review did to each box: operation, box before and box after; pixels of the upright image.
-- Params: review_id text
-- Grain: edit_id
WITH review AS (
    SELECT * FROM reviews WHERE review_id = $review_id::VARCHAR
),
label AS (
    SELECT review.review_id, unnest(review.labels) AS box FROM review
),
prediction AS (
    SELECT review.review_id, unnest(p.predictions) AS box
    FROM review
    JOIN prelabels AS p USING (dataset, dataset_version, image_id, batch_id)
)
SELECT
    e.edit_id, e.op, e.predicted_label, e.accepted_label, e.score, e.iou,
    prediction.box.x0_px AS predicted_x0_px,
    prediction.box.y0_px AS predicted_y0_px,
    prediction.box.x1_px AS predicted_x1_px,
    prediction.box.y1_px AS predicted_y1_px,
    label.box.x0_px AS accepted_x0_px,
    label.box.y0_px AS accepted_y0_px,
    label.box.x1_px AS accepted_x1_px,
    label.box.y1_px AS accepted_y1_px
FROM edits AS e
SEMI JOIN review USING (review_id)
LEFT JOIN prediction ON prediction.review_id = e.review_id AND prediction.box.prediction_id = e.prediction_id
LEFT JOIN label ON label.review_id = e.review_id AND label.box.label_id = e.label_id
ORDER BY list_position(['accept', 'adjust', 'relabel', 'adjust_relabel', 'delete', 'add'], e.op), e.edit_id;
