"""What the authors' graph calls our modules' filters (f) and biases (b)."""

FILTERS = {
    "backbone.conv1": "br_conv1{}",
    "backbone.conv2": "br_conv2{}",
    "backbone.conv3": "br_conv3{}",
    "backbone.conv4": "br_conv4{}",
    "backbone.conv5": "br_conv5{}",
    "backbone.reduce": "join_br_conv3{}_dimred",
    "semantic_attention.squeeze": "join_br1_conv51_{}",
    "semantic_attention.expand": "join_br1_conv52_{}",
    "structural_attention.conv1": "join_br1_conv11_{}",
    "structural_attention.conv2": "join_br1_conv12_{}",
    "structural_attention.deconv1": "join_deconv3_{}",
    "structural_attention.deconv2": "join_b_deconv3_{}",
}
