-- Published seconds of the operations the views need themselves; measures.md section 9.
-- Params: none
-- Grain: one row
CREATE VIEW v_parameter AS
SELECT
    7.8::DOUBLE AS base_seconds,        -- look over one image with objects
    1.2::DOUBLE AS base_class_seconds,  -- look over one image that only has a label of the whole image
    12.5::DOUBLE AS add_box_seconds,    -- draw one box and name its class
    5.1::DOUBLE AS add_class_seconds;   -- choose one label of the whole image
