/** Findings written for this page; no report of a patient is among them. */
export const samples = [
  {
    title: 'Chest X-ray: normal',
    findings:
      'The cardiomediastinal silhouette is within normal limits. The lungs are clear without focal consolidation, ' +
      'pleural effusion or pneumothorax. The pulmonary vasculature is normal. No acute bony abnormality.',
  },
  {
    title: 'Chest X-ray: opacity and effusion',
    findings:
      'Frontal and lateral views of the chest. There is a patchy airspace opacity in the right lower lobe that was ' +
      'not present on the prior study. Small right pleural effusion with blunting of the costophrenic angle. The left ' +
      'lung is clear. Heart size is normal. No pneumothorax. Mild degenerative change of the thoracic spine.',
  },
  {
    title: 'Chest X-ray: intensive care, lines and tubes',
    findings:
      'Single portable semi-upright view. Endotracheal tube tip 4.5 cm above the carina. Right internal jugular ' +
      'catheter tip at the cavoatrial junction. Enteric tube courses below the diaphragm, tip not included. Low lung ' +
      'volumes. Diffuse bilateral interstitial and perihilar opacities have increased since yesterday. Moderate left ' +
      'and small right pleural effusions, with retrocardiac atelectasis. Stable cardiomegaly. A thin lucent line at ' +
      'the right apex measures 6 mm and is new, in keeping with a small pneumothorax. No displaced rib fracture.',
  },
  {
    title: 'Chest CT: nodules',
    findings:
      'Spiculated solid nodule in the left upper lobe, 18 x 14 mm, previously 11 x 9 mm. Second solid nodule in the ' +
      'right middle lobe, 4 mm, unchanged for three years. Enlarged left hilar node, 15 mm in short axis. No ' +
      'mediastinal adenopathy. Mild centrilobular emphysema, upper lobe predominant. No pleural or pericardial ' +
      'effusion. Coronary artery calcification. The adrenal glands are normal. A 22 mm hypodense lesion in segment VII ' +
      'of the liver is incompletely characterized. No suspicious osseous lesion.',
  },
  {
    title: 'Abdominal CT: right lower quadrant pain',
    findings:
      'The appendix is dilated to 13 mm, with wall thickening, mucosal hyperenhancement and surrounding fat stranding. ' +
      'A 6 mm appendicolith lies at its base. No extraluminal air and no drainable collection. Trace free fluid in the ' +
      'pelvis. Liver, spleen, pancreas and kidneys are unremarkable, apart from a 2 mm nonobstructing calculus in the ' +
      'lower pole of the left kidney. No bowel obstruction. Normal caliber of the abdominal aorta.',
  },
  {
    title: 'Knee MRI: twisting injury',
    findings:
      'Complete tear of the anterior cruciate ligament in its mid substance. Contusions of the lateral femoral condyle ' +
      'and the posterolateral tibial plateau without a fracture line. Vertical longitudinal tear of the posterior horn ' +
      'of the medial meniscus, not displaced. The lateral meniscus, posterior cruciate and collateral ligaments are ' +
      'intact. Grade 2 chondral change of the medial patellar facet. Large joint effusion. No popliteal cyst.',
  },
];
